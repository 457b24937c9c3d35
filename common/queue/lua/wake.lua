-- Calls became ready: that is news, and a wake token of their lane for each of them, at most WAKE_MAX lying about. A
-- paused queue hands out nothing, so it wakes nobody.
local WAKE_MAX = 64

local function put_tokens(list, calls)
  if calls == 0 then return end
  local tokens = {}
  for i = 1, math.min(calls, WAKE_MAX - redis.call('LLEN', list)) do tokens[i] = '1' end
  if #tokens > 0 then redis.call('RPUSH', list, unpack(tokens)) end
end

local function wake(sync_calls, async_calls)
  if sync_calls + async_calls == 0 then return end
  redis.call('HINCRBY', state, 'news', 1)
  if redis.call('HEXISTS', state, 'paused') == 1 then return end
  put_tokens(wake_sync, sync_calls)
  put_tokens(wake_async, async_calls)
end
