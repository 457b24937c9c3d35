-- Forget dead calls that the store has settled. Nothing here needs memory, so a full Redis allows it.
-- KEYS: meta dead sync message
-- ARGV: ids
-- Returns how many were dead.
local meta, dead, sync, message = unpack(KEYS)
-- include: forget.lua

local buried = {}
for i, died_at_ms in ipairs(redis.call('ZMSCORE', dead, unpack(ARGV))) do
  if died_at_ms then buried[#buried + 1] = ARGV[i] end
end
if #buried > 0 then
  redis.call('ZREM', dead, unpack(buried))
  redis.call('HDEL', meta, unpack(buried))
  forget_tickets(buried)
end
return #buried
