-- Hand out calls again, and wake a waiter for each that is ready. Nothing if it is not paused.
-- KEYS: ready delay state wake_sync wake_async
-- ARGV: none
local ready, delay, state, wake_sync, wake_async = unpack(KEYS)
-- include: record.lua
-- include: wake.lua

if redis.call('HDEL', state, 'paused') == 0 then return end
local sync_calls = redis.call('ZCOUNT', ready, '-inf', string.format('(%.0f', LEVEL))
local async_calls = redis.call('ZCARD', ready) - sync_calls
-- Nobody has learnt of due times that came nearer meanwhile.
wake(sync_calls, math.max(async_calls, redis.call('EXISTS', delay)))
