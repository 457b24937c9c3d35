-- Bounded maintenance: expired leases are restored, due calls promoted, BATCH of each. Returns the instants (ms) of
-- the next expiry and of the next due call, nil where there is none; one in the past means that more is to be done.
local BATCH = 128

local function next_expiry()
  return tonumber(redis.call('ZRANGE', lease, 0, 0, 'WITHSCORES')[2])
end

local function next_due()
  return tonumber(redis.call('ZRANGE', delay, 0, 0, 'WITHSCORES')[2])
end

local function promote(ids)
  local records = redis.call('HMGET', meta, unpack(ids))
  local to_ready, sync_calls = {}, 0
  for i, id in ipairs(ids) do
    local place = decode(records[i])
    to_ready[#to_ready + 1] = place
    to_ready[#to_ready + 1] = id
    if is_sync(place) then sync_calls = sync_calls + 1 end
  end
  redis.call('ZADD', ready, unpack(to_ready))
  redis.call('ZREM', delay, unpack(ids))
  wake(sync_calls, #ids - sync_calls)
end

local function maintain(now_ms)
  local expiry_ms, due_ms = next_expiry(), next_due()
  if expiry_ms and expiry_ms <= now_ms then
    restore(redis.call('ZRANGEBYSCORE', lease, '-inf', now_ms, 'LIMIT', 0, BATCH), now_ms)
    expiry_ms = next_expiry()
  end
  if due_ms and due_ms <= now_ms then
    promote(redis.call('ZRANGEBYSCORE', delay, '-inf', now_ms, 'LIMIT', 0, BATCH))
    due_ms = next_due()
  end
  return expiry_ms, due_ms
end

local function until_next(now_ms, expiry_ms, due_ms)
  if not expiry_ms and not due_ms then return -1 end
  return math.max(0, math.min(expiry_ms or math.huge, due_ms or math.huge) - now_ms)
end
