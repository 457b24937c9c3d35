-- Put calls at their places; those already known stay as they are.
-- KEYS: ready delay meta state wake_sync wake_async
-- ARGV: max_calls, then for each call: id, place (-1: a sync call, it takes the next one on level 0), delay_ms,
--       memory_mb, max_deliveries
-- Returns how many were new; -1, having changed nothing, if they don't all fit.
local ready, delay, meta, state, wake_sync, wake_async = unpack(KEYS)
-- include: clock.lua
-- include: record.lua
-- include: wake.lua

local FIELDS = 5
local ids = {}
for i = 2, #ARGV, FIELDS do ids[#ids + 1] = ARGV[i] end
local known = redis.call('HMGET', meta, unpack(ids))
local fresh, seen, sync_calls = {}, {}, 0
for i, id in ipairs(ids) do
  if not known[i] and not seen[id] then
    seen[id] = true
    fresh[#fresh + 1] = i
    if tonumber(ARGV[3 + (i - 1) * FIELDS]) < 0 then sync_calls = sync_calls + 1 end
  end
end
if #fresh == 0 then return 0 end
if redis.call('HLEN', meta) + #fresh > tonumber(ARGV[1]) then return -1 end
-- The first write, this or the next, may be refused by a full Redis, and then nothing has happened; later ones can't be.
local next_place = sync_calls > 0 and redis.call('HINCRBY', state, 'sync_places', sync_calls) - sync_calls

local now_ms = clock()
local to_meta, to_ready, to_delay, ready_sync = {}, {}, {}, 0
local first_due_ms = math.huge
for _, i in ipairs(fresh) do
  local id, at = ids[i], 2 + (i - 1) * FIELDS
  local place, delay_ms = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local memory_mb, max_deliveries = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local ready_at_ms = now_ms + delay_ms
  if place < 0 then place, next_place = next_place, next_place + 1 end
  to_meta[#to_meta + 1] = id
  to_meta[#to_meta + 1] = encode(place, ready_at_ms, 0, memory_mb, 0, max_deliveries, '')
  if delay_ms > 0 then
    to_delay[#to_delay + 1] = ready_at_ms
    to_delay[#to_delay + 1] = id
    first_due_ms = math.min(first_due_ms, ready_at_ms)
  else
    to_ready[#to_ready + 1] = place
    to_ready[#to_ready + 1] = id
    if is_sync(place) then ready_sync = ready_sync + 1 end
  end
end

redis.call('HSET', meta, unpack(to_meta))
local to_wake = #to_ready / 2 - ready_sync
if #to_delay > 0 then
  local head_ms = tonumber(redis.call('ZRANGE', delay, 0, 0, 'WITHSCORES')[2])
  redis.call('ZADD', delay, unpack(to_delay))
  -- Somebody must learn that the next due time came nearer.
  if first_due_ms < (head_ms or math.huge) then to_wake = to_wake + 1 end
end
if #to_ready > 0 then redis.call('ZADD', ready, unpack(to_ready)) end
wake(ready_sync, to_wake)
return #fresh
