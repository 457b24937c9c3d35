-- The head of the queue, in the order of reserve. Reads only.
-- KEYS: ready meta
-- ARGV: limit (at least 1)
-- Returns for each call: id, level, ms since it is ready, memory_mb, deliveries.
local ready, meta = unpack(KEYS)
-- include: clock.lua
-- include: record.lua

local ids = redis.call('ZRANGE', ready, 0, ARGV[1] - 1)
if #ids == 0 then return {} end
local now_ms, answer = clock(), {}
for i, record in ipairs(redis.call('HMGET', meta, unpack(ids))) do
  local place, ready_at_ms, _, memory_mb, deliveries = decode(record)
  for _, value in ipairs({ids[i], math.floor(place / LEVEL), math.max(now_ms - ready_at_ms, 0), memory_mb, deliveries}) do
    answer[#answer + 1] = value
  end
end
return answer
