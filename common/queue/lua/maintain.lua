-- Restore expired leases, promote due calls: a bounded number of each.
-- KEYS: ready delay lease meta dead state wake_sync wake_async
-- ARGV: none
-- Returns ms until the next expiry or due call, 0 if there is more to do now, -1 if there is none.
local ready, delay, lease, meta, dead, state, wake_sync, wake_async = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: wake.lua
-- include: restore.lua
-- include: sweep.lua

local now_ms = clock()
return until_next(now_ms, maintain(now_ms))
