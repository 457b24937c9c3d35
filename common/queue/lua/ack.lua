-- Forget finished calls for good.
-- KEYS: lease meta sync message ended
-- ARGV: for each call: id, token
-- Returns for each call 1 acked, 0 unknown, 2 known but not leased with this token.
local lease, meta, sync, message, ended = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: forget.lua

local ids, answer, acked, sync_calls = {}, {}, {}, {}
for i = 1, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local records = redis.call('HMGET', meta, unpack(ids))
for i, id in ipairs(ids) do
  if not records[i] then
    answer[i] = 0
  elseif is_held(records[i], ARGV[2 * i]) then
    answer[i] = 1
    acked[#acked + 1] = id
    if is_sync(place_of(records[i])) then sync_calls[#sync_calls + 1] = id end
  else
    answer[i] = 2
  end
end
if #acked > 0 then
  redis.call('ZREM', lease, unpack(acked))
  redis.call('HDEL', meta, unpack(acked))
  forget_tickets(sync_calls)
end
return answer
