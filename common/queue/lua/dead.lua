-- The dead calls, oldest first, with what is needed to answer the callers of sync ones. Reads only.
-- KEYS: meta dead sync message
-- ARGV: limit (at least 1)
-- Returns for each call: id, deliveries, reply_to, ms left of its wait, message; of an async one '', 0, ''. Fewer than
-- there are once their messages pass MAX_BYTES.
local meta, dead, sync, message = unpack(KEYS)
-- include: clock.lua
-- include: record.lua
-- include: ticket.lua

local MAX_BYTES = 2^24
local ids = redis.call('ZRANGE', dead, 0, ARGV[1] - 1)
if #ids == 0 then return {} end
local now_ms, answer, bytes = clock(), {}, 0
for i, record in ipairs(redis.call('HMGET', meta, unpack(ids))) do
  local place, _, _, _, deliveries = decode(record)
  local reply_to, left_ms, text = '', 0, ''
  if is_sync(place) then
    local deadline_ms
    deadline_ms, reply_to = decode_ticket(redis.call('HGET', sync, ids[i]))
    left_ms = math.max(deadline_ms - now_ms, 0)
    text = redis.call('HGET', message, ids[i]) or ''
    bytes = bytes + #text
  end
  if bytes > MAX_BYTES and i > 1 then break end
  for _, value in ipairs({ids[i], deliveries, reply_to, left_ms, text}) do answer[#answer + 1] = value end
end
return answer
