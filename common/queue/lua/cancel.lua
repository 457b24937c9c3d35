-- Take waiting calls out; flag running ones, and tell who listens.
-- KEYS: ready delay lease meta sync message ended cancelled
-- ARGV: ids
-- Returns for each call 1 removed, 2 running and flagged, 0 unknown (or dead: then it is the store's already).
local ready, delay, lease, meta, sync, message, ended, cancelled = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: forget.lua

local records = redis.call('HMGET', meta, unpack(ARGV))
local in_ready, in_delay = redis.call('ZMSCORE', ready, unpack(ARGV)), redis.call('ZMSCORE', delay, unpack(ARGV))
local answer, removed, sync_calls, running, to_meta, seen = {}, {}, {}, {}, {}, {}
for i, id in ipairs(ARGV) do
  answer[i] = 0
  if records[i] and is_leased(records[i]) then
    answer[i] = 2
    running[#running + 1] = id
    to_meta[#to_meta + 1] = id
    to_meta[#to_meta + 1] = flagged(records[i])
  elseif (in_ready[i] or in_delay[i]) and not seen[id] then
    answer[i] = 1
    seen[id] = true
    removed[#removed + 1] = id
    if is_sync(place_of(records[i])) then sync_calls[#sync_calls + 1] = id end
  end
end
if #removed > 0 then
  redis.call('ZREM', ready, unpack(removed))
  redis.call('ZREM', delay, unpack(removed))
  redis.call('HDEL', meta, unpack(removed))
  forget_tickets(sync_calls)
end
if #running > 0 then
  redis.call('HSET', meta, unpack(to_meta))
  redis.call('PUBLISH', cancelled, table.concat(running))
end
return answer
