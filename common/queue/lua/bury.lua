-- Forget dead calls that the store has settled.
-- KEYS: meta dead sync message ended
-- ARGV: ids
-- Returns how many were dead.
local meta, dead, sync, message, ended = unpack(KEYS)
redis.call('ZREM', dead, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: forget.lua

local buried = {}
for i, died_at_ms in ipairs(redis.call('ZMSCORE', dead, unpack(ARGV))) do
  if died_at_ms then buried[#buried + 1] = ARGV[i] end
end
if #buried > 0 then
  redis.call('ZREM', dead, unpack(buried))
  redis.call('HDEL', meta, unpack(buried))
  local sync_calls = {}
  for i, ticket in ipairs(redis.call('HMGET', sync, unpack(buried))) do
    if ticket then sync_calls[#sync_calls + 1] = buried[i] end
  end
  forget_tickets(sync_calls)
end
return #buried
