-- A reply is left for the api that waits for it. One that nobody fetches, since that api is gone, is forgotten.
local KEEP_MS = 60000

local function answer_caller(reply)
  redis.call('RPUSH', replies, reply)
  redis.call('PEXPIRE', replies, KEEP_MS)
end
