-- Take from the head what fits, and lease it. Bounded maintenance comes first.
-- KEYS: ready delay lease meta dead state wake_async
-- ARGV: slots, free_mb, total_mb, look_ahead, lease_ms, holder, seen_news, strict (1: hand out nothing while
--       maintenance has more to do, because what it has yet to restore may stand before the head)
-- Returns 1 if maintenance has more to do, else 0; ms until the next expiry or due call (-1: none); news;
-- expires_at_ms; then for each call: id, token, deliveries.
local ready, delay, lease, meta, dead, state, wake_async = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: wake.lua
-- include: restore.lua
-- include: sweep.lua

local slots, free_mb, total_mb = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local holder, seen_news = ARGV[6], tonumber(ARGV[7])
local now_ms, now_us = clock()
local expires_at_ms = now_ms + tonumber(ARGV[5])
local expiry_ms, due_ms = maintain(now_ms)
local more = math.min(expiry_ms or math.huge, due_ms or math.huge) <= now_ms
if more and ARGV[8] == '1' then return {1, 0, seen_news, expires_at_ms} end

local last = redis.call('HMGET', state, 'token', 'news')
local token, news = math.max((tonumber(last[1]) or 0) + 1, now_us), tonumber(last[2]) or 0
local ids = redis.call('ZRANGE', ready, 0, slots + tonumber(ARGV[4]) - 1)
local records = #ids > 0 and redis.call('HMGET', meta, unpack(ids))
local taken, to_meta, to_lease = {}, {}, {}
local answer = {more and 1 or 0, 0, news, expires_at_ms}
for i, id in ipairs(ids) do
  local place, ready_at_ms, _, memory_mb, deliveries, max_deliveries = decode(records[i])
  if memory_mb <= total_mb then
    if memory_mb > free_mb or #taken == slots then break end
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

if #taken > 0 then
  redis.call('HSET', state, 'token', string.format('%.0f', token - 1))
  redis.call('ZADD', lease, unpack(to_lease))
  redis.call('HSET', meta, unpack(to_meta))
  redis.call('ZREM', ready, unpack(taken))
  expiry_ms = math.min(expiry_ms or math.huge, expires_at_ms)
end
-- The range was longer than the slots, so it shows whether anything stays ready. Then another waiter has to look; but
-- a worker for which nothing fits passes the same news on only once, else it would wake itself for ever.
if #ids == #taken then
  redis.call('DEL', wake_async)
elseif (#taken > 0 or news ~= seen_news) and redis.call('EXISTS', wake_async) == 0 then
  redis.call('RPUSH', wake_async, '1')
end
answer[2] = until_next(now_ms, expiry_ms, due_ms)
return answer
