-- Take from the head what fits, and lease it. Bounded maintenance comes first.
-- KEYS: ready delay lease meta dead state wake_sync wake_async
-- ARGV: slots, sync_slots, async_slots, free_mb, total_mb, look_ahead, lease_ms, holder, seen_news, strict (1: hand out
--       nothing while maintenance has more to do, because what it has yet to restore may stand before the head)
-- Returns 1 if maintenance has more to do, else 0; ms until the next expiry or due call (-1: none); news;
-- expires_at_ms; then for each call: id, token, deliveries.
local ready, delay, lease, meta, dead, state, wake_sync, wake_async = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: wake.lua
-- include: restore.lua
-- include: sweep.lua

local slots, sync_slots, async_slots = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local free_mb, total_mb, look_ahead = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local holder, seen_news = ARGV[8], tonumber(ARGV[9])
local now_ms, now_us = clock()
local expires_at_ms = now_ms + tonumber(ARGV[7])
local expiry_ms, due_ms = maintain(now_ms)
local more = math.min(expiry_ms or math.huge, due_ms or math.huge) <= now_ms
if more and ARGV[10] == '1' then return {1, 0, seen_news, expires_at_ms} end

local last = redis.call('HMGET', state, 'token', 'news', 'paused')
local token, news = math.max((tonumber(last[1]) or 0) + 1, now_us), tonumber(last[2]) or 0
local answer = {more and 1 or 0, until_next(now_ms, expiry_ms, due_ms), news, expires_at_ms}
if last[3] then return answer end

local taken, to_meta, to_lease = {}, {}, {}

-- Takes up to `wanted` calls of one lane. Returns how many of those it saw stay, and whether it stopped at one that fits
-- only later. It sees more than it takes, so it sees whether any stay.
local function take(first, last_place, wanted)
  local ids = redis.call('ZRANGEBYSCORE', ready, first, last_place, 'LIMIT', 0, wanted + look_ahead)
  local before, stopped = #taken, false
  for i, record in ipairs(#ids > 0 and redis.call('HMGET', meta, unpack(ids)) or ids) do
    local place, ready_at_ms, _, memory_mb, deliveries, max_deliveries = decode(record)
    if memory_mb <= total_mb then
      if #taken - before == wanted then break end
      stopped = memory_mb > free_mb
      if stopped then break end
      local id = ids[i]
      free_mb = free_mb - memory_mb
      deliveries = deliveries + 1
      taken[#taken + 1] = id
      to_lease[#to_lease + 1] = expires_at_ms
      to_lease[#to_lease + 1] = id
      to_meta[#to_meta + 1] = id
      to_meta[#to_meta + 1] = encode(place, ready_at_ms, token, memory_mb, deliveries, max_deliveries, holder)
      answer[#answer + 1] = id
      answer[#answer + 1] = token
      answer[#answer + 1] = deliveries
      token = token + 1
    end
  end
  return #ids - (#taken - before), stopped
end

local left_sync, left_async, stopped
if math.min(slots, sync_slots) > 0 then
  left_sync, stopped = take('-inf', string.format('(%.0f', LEVEL), math.min(slots, sync_slots))
end
if math.min(slots, async_slots) > 0 then
  local wanted = stopped and 0 or math.min(slots - #taken, async_slots)
  left_async = take(string.format('%.0f', LEVEL), '+inf', wanted)
end
if #taken > 0 then
  redis.call('HSET', state, 'token', string.format('%.0f', token - 1))
  redis.call('ZADD', lease, unpack(to_lease))
  redis.call('HSET', meta, unpack(to_meta))
  redis.call('ZREM', ready, unpack(taken))
  answer[2] = until_next(now_ms, math.min(expiry_ms or math.huge, expires_at_ms), due_ms)
end

-- What stays in a lane is for another waiter to look at; but a worker for which nothing fits passes the same news on
-- only once, else it would wake itself for ever. A lane that was not asked for (nil) is left alone.
local function pass_on(list, left)
  if left == 0 then
    redis.call('DEL', list)
  elseif left and (#taken > 0 or news ~= seen_news) and redis.call('EXISTS', list) == 0 then
    redis.call('RPUSH', list, '1')
  end
end

pass_on(wake_sync, left_sync)
pass_on(wake_async, left_async)
return answer
