-- Ready sync calls whose wait is over, all of them while paused, go to the dead set: nobody may run them any more. Returns
-- the others, in order.
local function bury_late(ids, now_ms, is_paused)
  if #ids == 0 then return ids end
  local waiting, late, to_dead = {}, {}, {}
  for i, ticket in ipairs(redis.call('HMGET', sync, unpack(ids))) do
    if decode_ticket(ticket) > now_ms and not is_paused then
      waiting[#waiting + 1] = ids[i]
    else
      late[#late + 1] = ids[i]
      to_dead[#to_dead + 1] = now_ms
      to_dead[#to_dead + 1] = ids[i]
    end
  end
  if #late > 0 then
    redis.call('ZADD', dead, unpack(to_dead))
    redis.call('ZREM', ready, unpack(late))
  end
  return waiting
end
