-- Calls lose their leases: back to their exact places, or to the dead set once delivered too often.
local function restore(ids, now_ms)
  local records = redis.call('HMGET', meta, unpack(ids))
  local to_meta, to_ready, to_dead = {}, {}, {}
  for i, id in ipairs(ids) do
    local place, ready_at_ms, _, memory_mb, deliveries, max_deliveries = decode(records[i])
    to_meta[#to_meta + 1] = id
    to_meta[#to_meta + 1] = encode(place, ready_at_ms, 0, memory_mb, deliveries, max_deliveries, '')
    if deliveries >= max_deliveries then
      to_dead[#to_dead + 1] = now_ms
      to_dead[#to_dead + 1] = id
    else
      to_ready[#to_ready + 1] = place
      to_ready[#to_ready + 1] = id
    end
  end
  redis.call('HSET', meta, unpack(to_meta))
  if #to_dead > 0 then redis.call('ZADD', dead, unpack(to_dead)) end
  if #to_ready > 0 then
    redis.call('ZADD', ready, unpack(to_ready))
    wake(#to_ready / 2)
  end
  redis.call('ZREM', lease, unpack(ids))
end
