-- Hand out nothing from now on, and wake nobody. Twice is once.
-- KEYS: state wake_sync wake_async
-- ARGV: none
local state, wake_sync, wake_async = unpack(KEYS)
redis.call('HDEL', state, '')  -- a full Redis must still drain: protocol.md, "Memory"
redis.call('HSET', state, 'paused', '1')
redis.call('DEL', wake_sync)
redis.call('DEL', wake_async)
