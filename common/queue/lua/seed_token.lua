-- Make every later token larger than one that was given before the data were lost.
-- KEYS: state
-- ARGV: token
local state = unpack(KEYS)
redis.call('HDEL', state, '')  -- a full Redis must still drain: protocol.md, "Memory"

local last = tonumber(redis.call('HGET', state, 'token') or 0)
if tonumber(ARGV[1]) > last then redis.call('HSET', state, 'token', ARGV[1]) end
