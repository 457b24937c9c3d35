-- Forget dead calls that the store has settled. Nothing here needs memory, so a full Redis allows it.
-- KEYS: meta dead
-- ARGV: ids
-- Returns how many were dead.
local meta, dead = unpack(KEYS)
local buried = {}
for i, died_at_ms in ipairs(redis.call('ZMSCORE', dead, unpack(ARGV))) do
  if died_at_ms then buried[#buried + 1] = ARGV[i] end
end
if #buried > 0 then
  redis.call('ZREM', dead, unpack(buried))
  redis.call('HDEL', meta, unpack(buried))
end
return #buried
