-- Sync calls that end: their tickets go with them. Their ids stay in `ended` for ENDED_MS: a push of one that comes late
-- must not start it, and who asks for its record must not hear that there never was such a call. Maintenance removes them.
local ENDED_MS = 60000

local function forget_tickets(ids)
  if #ids == 0 then return end
  redis.call('HDEL', sync, unpack(ids))
  redis.call('HDEL', message, unpack(ids))
  local now_ms, to_ended = clock(), {}
  for _, id in ipairs(ids) do
    to_ended[#to_ended + 1] = now_ms + ENDED_MS
    to_ended[#to_ended + 1] = id
  end
  redis.call('ZADD', ended, unpack(to_ended))
end
