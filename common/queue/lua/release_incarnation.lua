-- Restore everything that a dead incarnation holds, as if those leases had expired.
-- KEYS: ready lease meta dead state wake_sync wake_async
-- ARGV: holder
-- Returns how many.
local ready, lease, meta, dead, state, wake_sync, wake_async = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: wake.lua
-- include: restore.lua

local BATCH = 500
local leased = redis.call('ZRANGE', lease, 0, -1)
local now_ms = clock()
local restored = 0
for from = 1, #leased, BATCH do
  local ids = {unpack(leased, from, math.min(from + BATCH - 1, #leased))}
  local held = {}
  for i, record in ipairs(redis.call('HMGET', meta, unpack(ids))) do
    if holder_of(record) == ARGV[1] then held[#held + 1] = ids[i] end
  end
  if #held > 0 then restore(held, now_ms) end
  restored = restored + #held
end
return restored
