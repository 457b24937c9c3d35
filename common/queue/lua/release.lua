-- Give calls back unharmed: the delivery too. To their exact places, or there after a delay. One whose cancel was asked
-- for is forgotten, or handed over as dead if it is a sync call: somebody has to answer its caller.
-- KEYS: ready delay lease meta dead state wake_sync wake_async
-- ARGV: delay_ms, then for each call: id, token
-- Returns for each call 1 released, 0 not leased with this token.
local ready, delay, lease, meta, dead, state, wake_sync, wake_async = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: wake.lua

local ids, answer, released, seen = {}, {}, {}, {}
for i = 2, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local now_ms, delay_ms = clock(), tonumber(ARGV[1])
local due_ms = now_ms + delay_ms
local records = redis.call('HMGET', meta, unpack(ids))
local to_meta, to_set, to_dead, dropped, sync_calls = {}, {}, {}, {}, 0
for i, id in ipairs(ids) do
  answer[i] = 0
  if records[i] and not seen[id] and is_held(records[i], ARGV[2 * i + 1]) then
    local place, ready_at_ms, _, memory_mb, deliveries, max_deliveries = decode(records[i])
    answer[i] = 1
    seen[id] = true
    released[#released + 1] = id
    if is_flagged(records[i]) and not is_sync(place) then
      dropped[#dropped + 1] = id
    else
      if is_flagged(records[i]) then
        to_dead[#to_dead + 1] = now_ms
        to_dead[#to_dead + 1] = id
      else
        if delay_ms > 0 then ready_at_ms = due_ms end
        if is_sync(place) then sync_calls = sync_calls + 1 end
        to_set[#to_set + 1] = delay_ms > 0 and due_ms or place
        to_set[#to_set + 1] = id
      end
      to_meta[#to_meta + 1] = id
      to_meta[#to_meta + 1] = encode(place, ready_at_ms, 0, memory_mb, deliveries - 1, max_deliveries, '')
    end
  end
end
if #to_meta > 0 then redis.call('HSET', meta, unpack(to_meta)) end
if #to_dead > 0 then redis.call('ZADD', dead, unpack(to_dead)) end
if #to_set > 0 and delay_ms > 0 then
  local head_ms = tonumber(redis.call('ZRANGE', delay, 0, 0, 'WITHSCORES')[2])
  redis.call('ZADD', delay, unpack(to_set))
  if due_ms < (head_ms or math.huge) then wake(0, 1) end
elseif #to_set > 0 then
  redis.call('ZADD', ready, unpack(to_set))
  wake(sync_calls, #to_set / 2 - sync_calls)
end
if #released > 0 then redis.call('ZREM', lease, unpack(released)) end
if #dropped > 0 then redis.call('HDEL', meta, unpack(dropped)) end
return answer
