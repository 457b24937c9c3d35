-- See that sync calls which nobody has taken never start: those that wait are taken out, and one that is not here yet is
-- refused when its push comes. Leased ones go on.
-- KEYS: lease ready delay meta sync message ended
-- ARGV: 1 if nobody waits for the replies of leased ones any more, else 0; then ids, each once
-- Returns for each call 1 it will not start, 2 it is leased, 0 it has ended, or is dead: somebody else replies.
local lease, ready, delay, meta, sync, message, ended = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: ticket.lua
-- include: forget.lua

local ids = {unpack(ARGV, 2)}
local records, have_ended = redis.call('HMGET', meta, unpack(ids)), redis.call('ZMSCORE', ended, unpack(ids))
local in_ready, in_delay = redis.call('ZMSCORE', ready, unpack(ids)), redis.call('ZMSCORE', delay, unpack(ids))
local answer, withdrawn, running = {}, {}, {}
for i, id in ipairs(ids) do
  answer[i] = 0
  if records[i] and is_leased(records[i]) then
    answer[i] = 2
    running[#running + 1] = id
  elseif in_ready[i] or in_delay[i] or not (records[i] or have_ended[i]) then
    answer[i] = 1
    withdrawn[#withdrawn + 1] = id
  end
end
if #withdrawn > 0 then
  redis.call('ZREM', ready, unpack(withdrawn))
  redis.call('ZREM', delay, unpack(withdrawn))
  redis.call('HDEL', meta, unpack(withdrawn))
  forget_tickets(withdrawn)
end
if #running > 0 and ARGV[1] == '1' then
  local to_sync = {}
  for i, ticket in ipairs(redis.call('HMGET', sync, unpack(running))) do
    to_sync[#to_sync + 1] = running[i]
    to_sync[#to_sync + 1] = encode_ticket(decode_ticket(ticket), NOBODY)
  end
  redis.call('HSET', sync, unpack(to_sync))
end
return answer
