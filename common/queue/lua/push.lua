-- Put calls at their places; those already known stay as they are.
-- KEYS: ready delay meta state wake_async
-- ARGV: max_calls, then for each call: id, place, delay_ms, memory_mb, max_deliveries
-- Returns how many were new; -1, having changed nothing, if they don't all fit.
local ready, delay, meta, state, wake_async = unpack(KEYS)
-- include: clock.lua
-- include: record.lua
-- include: wake.lua

local FIELDS = 5
local ids = {}
for i = 2, #ARGV, FIELDS do ids[#ids + 1] = ARGV[i] end
local known = redis.call('HMGET', meta, unpack(ids))

local now_ms = clock()
local to_meta, to_ready, to_delay, seen = {}, {}, {}, {}
local first_due_ms = math.huge
for i, id in ipairs(ids) do
  if not known[i] and not seen[id] then
    seen[id] = true
    local at = 2 + (i - 1) * FIELDS
    local place, delay_ms = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local memory_mb, max_deliveries = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
    local ready_at_ms = now_ms + delay_ms
    to_meta[#to_meta + 1] = id
    to_meta[#to_meta + 1] = encode(place, ready_at_ms, 0, memory_mb, 0, max_deliveries, '')
    if delay_ms > 0 then
      to_delay[#to_delay + 1] = ready_at_ms
      to_delay[#to_delay + 1] = id
      first_due_ms = math.min(first_due_ms, ready_at_ms)
    else
      to_ready[#to_ready + 1] = place
      to_ready[#to_ready + 1] = id
    end
  end
end

local new = #to_meta / 2
if new == 0 then return 0 end
if redis.call('HLEN', meta) + new > tonumber(ARGV[1]) then return -1 end
-- The first write may be refused by a full Redis, and then nothing has happened; those after it can't be.
redis.call('HSET', meta, unpack(to_meta))
local to_wake = #to_ready / 2
if #to_delay > 0 then
  local head_ms = tonumber(redis.call('ZRANGE', delay, 0, 0, 'WITHSCORES')[2])
  redis.call('ZADD', delay, unpack(to_delay))
  -- Somebody must learn that the next due time came nearer.
  if first_due_ms < (head_ms or math.huge) then to_wake = to_wake + 1 end
end
if #to_ready > 0 then redis.call('ZADD', ready, unpack(to_ready)) end
if to_wake > 0 then wake(to_wake) end
return new
