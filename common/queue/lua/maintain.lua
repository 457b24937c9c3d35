-- Restore expired leases, promote due calls, bury ready sync calls whose wait is over, or all of them while the queue is
-- paused: a bounded number of each. Forget sync calls that ended long ago.
-- KEYS: ready delay lease meta dead state wake_sync wake_async sync ended
-- ARGV: none
-- Returns ms until the next expiry or due call, 0 if there is more to do now, -1 if there is none.
local ready, delay, lease, meta, dead, state, wake_sync, wake_async, sync, ended = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: wake.lua
-- include: restore.lua
-- include: sweep.lua
-- include: ticket.lua
-- include: late.lua

local now_ms = clock()
redis.call('ZREMRANGEBYSCORE', ended, '-inf', now_ms)
local expiry_ms, due_ms = maintain(now_ms)
local head = redis.call('ZRANGEBYSCORE', ready, '-inf', string.format('(%.0f', LEVEL), 'LIMIT', 0, BATCH)
local waiting = bury_late(head, now_ms, redis.call('HEXISTS', state, 'paused') == 1)
if #head == BATCH and #waiting < #head then return 0 end
return until_next(now_ms, expiry_ms, due_ms)
