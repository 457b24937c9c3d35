-- Sync calls that end: their tickets go with them.
local function forget_tickets(ids)
  if #ids == 0 then return end
  redis.call('HDEL', sync, unpack(ids))
  redis.call('HDEL', message, unpack(ids))
end
