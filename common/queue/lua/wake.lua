-- Calls became ready: that is news, and a wake token for each of them, at most WAKE_MAX lying about.
local WAKE_MAX = 64

local function wake(calls)
  redis.call('HINCRBY', state, 'news', 1)
  local missing = math.min(calls, WAKE_MAX - redis.call('LLEN', wake_async))
  if missing > 0 then
    local tokens = {}
    for i = 1, missing do tokens[i] = '1' end
    redis.call('RPUSH', wake_async, unpack(tokens))
  end
end
