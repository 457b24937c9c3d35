-- Give calls back unharmed: the delivery too. To their exact places, or there after a delay.
-- KEYS: ready delay lease meta state wake_async
-- ARGV: delay_ms, then for each call: id, token
-- Returns for each call 1 released, 0 not leased with this token.
local ready, delay, lease, meta, state, wake_async = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: wake.lua

local ids, answer, released, seen = {}, {}, {}, {}
for i = 2, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local delay_ms = tonumber(ARGV[1])
local due_ms = clock() + delay_ms
local records = redis.call('HMGET', meta, unpack(ids))
local to_meta, to_set = {}, {}
for i, id in ipairs(ids) do
  answer[i] = 0
  if records[i] and not seen[id] and is_held(records[i], ARGV[2 * i + 1]) then
    local place, ready_at_ms, _, memory_mb, deliveries, max_deliveries = decode(records[i])
    if delay_ms > 0 then ready_at_ms = due_ms end
    answer[i] = 1
    seen[id] = true
    released[#released + 1] = id
    to_meta[#to_meta + 1] = id
    to_meta[#to_meta + 1] = encode(place, ready_at_ms, 0, memory_mb, deliveries - 1, max_deliveries, '')
    to_set[#to_set + 1] = delay_ms > 0 and due_ms or place
    to_set[#to_set + 1] = id
  end
end
if #released > 0 then
  redis.call('HSET', meta, unpack(to_meta))
  if delay_ms > 0 then
    local head_ms = tonumber(redis.call('ZRANGE', delay, 0, 0, 'WITHSCORES')[2])
    redis.call('ZADD', delay, unpack(to_set))
    if due_ms < (head_ms or math.huge) then wake(1) end
  else
    redis.call('ZADD', ready, unpack(to_set))
    wake(#released)
  end
  redis.call('ZREM', lease, unpack(released))
end
return answer
