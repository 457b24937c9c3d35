-- Which life of the queue's data this is: a number made with it, and gone with it when Redis loses everything.
-- KEYS: state
-- ARGV: none
-- Returns the number.
local state = unpack(KEYS)
redis.call('HDEL', state, '')  -- a full Redis must still drain: protocol.md, "Memory"
-- include: clock.lua

local generation = redis.call('HGET', state, 'generation')
if not generation then
  local _, now_us = clock()
  generation = string.format('%.0f', now_us)
  redis.call('HSET', state, 'generation', generation)
end
return tonumber(generation)
