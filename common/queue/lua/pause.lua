-- Hand out nothing from now on, and wake nobody. Sync calls that wait are dead: their callers shall not wait in vain.
-- Twice is once.
-- KEYS: state wake_sync wake_async ready dead sync
-- ARGV: none
local state, wake_sync, wake_async, ready, dead, sync = unpack(KEYS)
redis.call('HDEL', state, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: ticket.lua
-- include: late.lua

redis.call('HSET', state, 'paused', '1')
redis.call('DEL', wake_sync)
redis.call('DEL', wake_async)
local BATCH, now_ms = 500, clock()
repeat
  local head = redis.call('ZRANGEBYSCORE', ready, '-inf', string.format('(%.0f', LEVEL), 'LIMIT', 0, BATCH)
  bury_late(head, now_ms, true)
until #head < BATCH
