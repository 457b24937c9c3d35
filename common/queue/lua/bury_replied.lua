-- Forget a dead sync call and leave its reply, both or neither.
-- KEYS: meta dead sync message ended replies
-- ARGV: id, reply
-- Returns 1, or 0 if it is not dead.
local meta, dead, sync, message, ended, replies = unpack(KEYS)
redis.call('ZREM', dead, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua
-- include: forget.lua
-- include: answer.lua

local id = ARGV[1]
if redis.call('ZREM', dead, id) == 0 then return 0 end
redis.call('HDEL', meta, id)
forget_tickets({id})
answer_caller(ARGV[2])
return 1
