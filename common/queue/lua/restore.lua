-- Calls lose their leases: back to their exact places, or to the dead set once delivered too often. One whose cancel was
-- asked for is forgotten, but for a sync call: somebody has to answer its caller.
local function restore(ids, now_ms)
  local records = redis.call('HMGET', meta, unpack(ids))
  local to_meta, to_ready, to_dead, dropped, sync_calls = {}, {}, {}, {}, 0
  for i, id in ipairs(ids) do
    local place, ready_at_ms, _, memory_mb, deliveries, max_deliveries = decode(records[i])
    if is_flagged(records[i]) and not is_sync(place) then
      dropped[#dropped + 1] = id
    else
      to_meta[#to_meta + 1] = id
      to_meta[#to_meta + 1] = encode(place, ready_at_ms, 0, memory_mb, deliveries, max_deliveries, '')
      if deliveries >= max_deliveries then
        to_dead[#to_dead + 1] = now_ms
        to_dead[#to_dead + 1] = id
      else
        to_ready[#to_ready + 1] = place
        to_ready[#to_ready + 1] = id
        if is_sync(place) then sync_calls = sync_calls + 1 end
      end
    end
  end
  if #to_meta > 0 then redis.call('HSET', meta, unpack(to_meta)) end
  if #to_dead > 0 then redis.call('ZADD', dead, unpack(to_dead)) end
  if #to_ready > 0 then
    redis.call('ZADD', ready, unpack(to_ready))
    wake(sync_calls, #to_ready / 2 - sync_calls)
  end
  redis.call('ZREM', lease, unpack(ids))
  if #dropped > 0 then redis.call('HDEL', meta, unpack(dropped)) end
end
