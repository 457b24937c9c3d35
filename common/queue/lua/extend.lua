-- Renew leases; never shorten one.
-- KEYS: lease meta
-- ARGV: lease_ms, then for each call: id, token
-- Returns for each call 1 held, 0 unknown, 2 held and a cancel was asked for, 3 lost.
local lease, meta = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua

local ids, answer, renewed = {}, {}, {}
for i = 2, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local expires_at_ms = clock() + tonumber(ARGV[1])
local records = redis.call('HMGET', meta, unpack(ids))
for i, id in ipairs(ids) do
  if not records[i] then
    answer[i] = 0
  elseif is_held(records[i], ARGV[2 * i + 1]) then
    answer[i] = is_flagged(records[i]) and 2 or 1
    renewed[#renewed + 1] = expires_at_ms
    renewed[#renewed + 1] = id
  else
    answer[i] = 3
  end
end
if #renewed > 0 then redis.call('ZADD', lease, 'XX', 'GT', unpack(renewed)) end
return answer
