-- Take from the head what fits, and lease it. Bounded maintenance comes first.
-- KEYS: ready delay lease meta dead state wake_sync wake_async sync message
-- ARGV: slots, sync_slots, async_slots, async_first (of the slots, for async calls before sync ones), free_mb, total_mb,
--       look_ahead, lease_ms, holder, seen_news, strict (1: hand out nothing while maintenance has more to do, because what it has yet to restore may stand before the head)
-- Returns 1 if maintenance has more to do, else 0; ms until the next expiry or due call (-1: none); news;
-- expires_at_ms; 1 if ready calls of a lane that was asked for stay, else 0; how many of the calls are sync ones, which
-- come first; then for each call: id, token, deliveries; then for each sync call: reply_to, ms left of its wait, message.
local ready, delay, lease, meta, dead, state, wake_sync, wake_async, sync, message = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: wake.lua
-- include: restore.lua
-- include: sweep.lua
-- include: ticket.lua
-- include: late.lua

local slots, sync_slots, async_slots = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local async_first = math.min(tonumber(ARGV[4]), slots)
local free_mb, total_mb, look_ahead = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local holder, seen_news, strict = ARGV[9], tonumber(ARGV[10]), ARGV[11] == '1'
local now_ms, now_us = clock()
local expires_at_ms = now_ms + tonumber(ARGV[8])
local expiry_ms, due_ms = maintain(now_ms)
local more = math.min(expiry_ms or math.huge, due_ms or math.huge) <= now_ms
local UNDONE = {1, 0, seen_news, expires_at_ms, 1, 0}
if more and strict then return UNDONE end

local last = redis.call('HMGET', state, 'token', 'news', 'paused')
local token, news = math.max((tonumber(last[1]) or 0) + 1, now_us), tonumber(last[2]) or 0
local answer = {more and 1 or 0, until_next(now_ms, expiry_ms, due_ms), news, expires_at_ms, 0, 0}
if last[3] then return answer end

local taken, to_meta, to_lease = {}, {}, {}

local function head(first, last_place, wanted)
  return redis.call('ZRANGEBYSCORE', ready, first, last_place, 'LIMIT', 0, wanted + look_ahead)
end

-- Takes up to `wanted` of the head of one lane. Returns how many of those stay, and whether it stopped at one that fits
-- only later. It is given more than it takes, so it sees whether any stay.
local function take(ids, wanted)
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

-- How many calls at the head of the async lane could start now, at most `wanted`, and their memory.
local function fitting(wanted)
  local ids, calls, calls_mb = head(string.format('%.0f', LEVEL), '+inf', wanted), 0, 0
  for _, record in ipairs(#ids > 0 and redis.call('HMGET', meta, unpack(ids)) or ids) do
    local _, _, _, memory_mb = decode(record)
    if memory_mb <= total_mb then
      if calls == wanted or calls_mb + memory_mb > free_mb then break end
      calls, calls_mb = calls + 1, calls_mb + memory_mb
    end
  end
  return calls, calls_mb
end

local left_sync, left_async, stopped
local kept, kept_mb = 0, 0
if math.min(slots, sync_slots) > 0 then
  local wanted = math.min(slots, sync_slots)
  local seen = head('-inf', string.format('(%.0f', LEVEL), wanted)
  local waiting = bury_late(seen, now_ms)
  local is_short = #waiting < #seen and #seen == wanted + look_ahead  -- there may be others behind what was late
  if is_short and strict then return UNDONE end
  if #waiting > slots - async_first then kept, kept_mb = fitting(async_first) end
  free_mb = free_mb - kept_mb
  left_sync, stopped = take(waiting, math.min(wanted, slots - kept))
  free_mb = free_mb + kept_mb
  if is_short then answer[1], left_sync = 1, left_sync + 1 end
end
local sync_calls = #taken
if math.min(slots, async_slots) > 0 then
  local wanted = math.min(stopped and kept or slots - #taken, async_slots)
  left_async = take(head(string.format('%.0f', LEVEL), '+inf', wanted), wanted)
end
if more or (left_sync or 0) + (left_async or 0) > 0 then answer[5] = 1 end
if #taken > 0 then
  redis.call('HSET', state, 'token', string.format('%.0f', token - 1))
  redis.call('ZADD', lease, unpack(to_lease))
  redis.call('HSET', meta, unpack(to_meta))
  redis.call('ZREM', ready, unpack(taken))
  answer[2] = until_next(now_ms, math.min(expiry_ms or math.huge, expires_at_ms), due_ms)
end
if sync_calls > 0 then
  answer[6] = sync_calls
  local ids = {unpack(taken, 1, sync_calls)}
  local messages = redis.call('HMGET', message, unpack(ids))
  for i, ticket in ipairs(redis.call('HMGET', sync, unpack(ids))) do
    local deadline_ms, reply_to = decode_ticket(ticket)
    answer[#answer + 1] = reply_to
    answer[#answer + 1] = deadline_ms - now_ms
    answer[#answer + 1] = messages[i]
  end
end

-- What stays in a lane is for another waiter to look at; but a worker for which nothing fits passes the same news on
-- only once, else it would wake itself for ever. Two tokens, because its own wait may be the longest and take one. A
-- lane that was not asked for (nil) is left alone.
local function pass_on(list, left)
  if left == 0 then
    redis.call('DEL', list)
  elseif left and (#taken > 0 or news ~= seen_news) and redis.call('EXISTS', list) == 0 then
    redis.call('RPUSH', list, '1', '1')
  end
end

pass_on(wake_sync, left_sync)
pass_on(wake_async, left_async)
return answer
