-- Forget finished calls for good. Nothing here needs memory, so a full Redis allows it.
-- KEYS: lease meta
-- ARGV: for each call: id, token
-- Returns for each call 1 acked, 0 unknown, 2 known but not leased with this token.
local lease, meta = unpack(KEYS)
-- include: record.lua

local ids, answer, acked = {}, {}, {}
for i = 1, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local records = redis.call('HMGET', meta, unpack(ids))
for i, id in ipairs(ids) do
  if not records[i] then
    answer[i] = 0
  elseif is_held(records[i], ARGV[2 * i]) then
    answer[i] = 1
    acked[#acked + 1] = id
  else
    answer[i] = 2
  end
end
if #acked > 0 then
  redis.call('ZREM', lease, unpack(acked))
  redis.call('HDEL', meta, unpack(acked))
end
return answer
