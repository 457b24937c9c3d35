-- Ack a sync call and leave its reply, both or neither.
-- KEYS: lease meta sync message ended replies
-- ARGV: id, token, reply
-- Returns 1 acked, 3 acked but the api that waited has ended, 0 unknown, 2 known but not leased with this token.
local lease, meta, sync, message, ended, replies = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: record.lua
-- include: ticket.lua
-- include: forget.lua
-- include: answer.lua

local id = ARGV[1]
local record = redis.call('HGET', meta, id)
if not record then return 0 end
if not is_held(record, ARGV[2]) then return 2 end
local _, reply_to = decode_ticket(redis.call('HGET', sync, id))
redis.call('ZREM', lease, id)
redis.call('HDEL', meta, id)
forget_tickets({id})
if reply_to == NOBODY then return 3 end
answer_caller(ARGV[3])
return 1
