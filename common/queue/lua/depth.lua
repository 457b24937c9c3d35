-- Exact counts at one instant.
-- KEYS: ready delay lease meta dead state
-- ARGV: for each level, first that of priority 0, last the sync lane's: its first place, the first place after it
-- Returns ready by level as asked, delayed, due, leased, expired, dead, calls, age in ms of the oldest of the levels'
-- heads (-1: nothing is ready), 1 if paused else 0.
local ready, delay, lease, meta, dead, state = unpack(KEYS)
-- include: clock.lua
-- include: record.lua

local now_ms = clock()
local answer, oldest_ms = {}, -1
for i = 1, #ARGV, 2 do
  local first, after = ARGV[i], '(' .. ARGV[i + 1]
  answer[#answer + 1] = redis.call('ZCOUNT', ready, first, after)
  local head = redis.call('ZRANGEBYSCORE', ready, first, after, 'LIMIT', 0, 1)[1]
  if head then
    local _, ready_at_ms = decode(redis.call('HGET', meta, head))
    oldest_ms = math.max(oldest_ms, now_ms - ready_at_ms, 0)
  end
end
answer[#answer + 1] = redis.call('ZCARD', delay)
answer[#answer + 1] = redis.call('ZCOUNT', delay, '-inf', now_ms)
answer[#answer + 1] = redis.call('ZCARD', lease)
answer[#answer + 1] = redis.call('ZCOUNT', lease, '-inf', now_ms)
answer[#answer + 1] = redis.call('ZCARD', dead)
answer[#answer + 1] = redis.call('HLEN', meta)
answer[#answer + 1] = oldest_ms
answer[#answer + 1] = redis.call('HEXISTS', state, 'paused')
return answer
