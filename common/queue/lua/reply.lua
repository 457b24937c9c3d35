-- Ack a sync call and leave its reply, both or neither.
-- KEYS: lease meta sync message replies
-- ARGV: id, token, reply
-- Returns 1 acked, 0 unknown, 2 known but not leased with this token.
local lease, meta, sync, message, replies = unpack(KEYS)
redis.call('ZREM', lease, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: record.lua
-- include: forget.lua
-- include: answer.lua

local id = ARGV[1]
local record = redis.call('HGET', meta, id)
if not record then return 0 end
if not is_held(record, ARGV[2]) then return 2 end
redis.call('ZREM', lease, id)
redis.call('HDEL', meta, id)
forget_tickets({id})
answer_caller(ARGV[3])
return 1
