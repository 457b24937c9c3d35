-- Whether a sync call is here, or was here a moment ago. Reads only.
-- KEYS: sync ended
-- ARGV: id
-- Returns 1 it waits or is leased or dead, 2 it has ended lately, 0 unknown.
local sync, ended = unpack(KEYS)
-- include: clock.lua

if redis.call('HEXISTS', sync, ARGV[1]) == 1 then return 1 end
local until_ms = redis.call('ZSCORE', ended, ARGV[1])
return until_ms and tonumber(until_ms) > clock() and 2 or 0
