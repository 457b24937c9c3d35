-- Put calls at their places. Those already known stay as they are; sync calls that have ended stay away.
-- KEYS: ready delay meta state wake_sync wake_async sync message ended
-- ARGV: max_calls, generation (or empty), number of calls; then for each call: id, place (-1: a sync call, it takes the next one on level 0),
--       delay_ms (of a sync call: how long it may wait), memory_mb, max_deliveries; then for each sync call: reply_to,
--       message
-- Returns how many were new; having changed nothing, -1 if they don't all fit, -2 if the data is of another generation, -3
-- if there are sync calls and the queue is paused.
local ready, delay, meta, state, wake_sync, wake_async, sync, message, ended = unpack(KEYS)
-- include: clock.lua
-- include: record.lua
-- include: wake.lua
-- include: ticket.lua

if ARGV[2] ~= '' and redis.call('HGET', state, 'generation') ~= ARGV[2] then return -2 end

local FIRST, FIELDS = 4, 5
local calls = tonumber(ARGV[3])
local ticket_at = FIRST + calls * FIELDS
local ids, tickets_at = {}, {}
for i = 1, calls do
  local at = FIRST + (i - 1) * FIELDS
  ids[i] = ARGV[at]
  if tonumber(ARGV[at + 1]) < 0 then
    tickets_at[i] = ticket_at
    ticket_at = ticket_at + 2
  end
end
local known = redis.call('HMGET', meta, unpack(ids))
local fresh, seen, sync_calls = {}, {}, 0
for i, id in ipairs(ids) do
  local has_ended = tickets_at[i] and redis.call('ZSCORE', ended, id)
  if not (known[i] or seen[id] or has_ended) then
    seen[id] = true
    fresh[#fresh + 1] = i
    if tickets_at[i] then sync_calls = sync_calls + 1 end
  end
end
if #fresh == 0 then return 0 end
if sync_calls > 0 and redis.call('HEXISTS', state, 'paused') == 1 then return -3 end
if redis.call('HLEN', meta) + #fresh > tonumber(ARGV[1]) then return -1 end
-- The first write, this or the next, may be refused by a full Redis, and then nothing has happened; later ones can't be.
local next_place = sync_calls > 0 and redis.call('HINCRBY', state, 'sync_places', sync_calls) - sync_calls

local now_ms = clock()
local to_meta, to_ready, to_delay, to_sync, to_message = {}, {}, {}, {}, {}
local first_due_ms = math.huge
for _, i in ipairs(fresh) do
  local id, at = ids[i], FIRST + (i - 1) * FIELDS
  local place, delay_ms = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local memory_mb, max_deliveries = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  if tickets_at[i] then
    to_sync[#to_sync + 1] = id
    to_sync[#to_sync + 1] = encode_ticket(now_ms + delay_ms, ARGV[tickets_at[i]])
    to_message[#to_message + 1] = id
    to_message[#to_message + 1] = ARGV[tickets_at[i] + 1]
    place, next_place, delay_ms = next_place, next_place + 1, 0
  end
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

redis.call('HSET', meta, unpack(to_meta))
if sync_calls > 0 then
  redis.call('HSET', sync, unpack(to_sync))
  redis.call('HSET', message, unpack(to_message))
end
local to_wake = #to_ready / 2 - sync_calls
if #to_delay > 0 then
  local head_ms = tonumber(redis.call('ZRANGE', delay, 0, 0, 'WITHSCORES')[2])
  redis.call('ZADD', delay, unpack(to_delay))
  -- Somebody must learn that the next due time came nearer.
  if first_due_ms < (head_ms or math.huge) then to_wake = to_wake + 1 end
end
if #to_ready > 0 then redis.call('ZADD', ready, unpack(to_ready)) end
wake(sync_calls, to_wake)
return #fresh
