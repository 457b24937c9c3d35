-- One call's record in `meta`, packed: place, ready_at_ms, token, memory_mb, deliveries, max_deliveries, holder, flag.
-- token is 0 and holder is empty unless the call is leased, so a positive token that is equal proves the lease. The flag, one
-- more byte, says that a cancel was asked for; it follows a holder, so it goes with the lease. Numbers that can pass
-- 2^32 are doubles: exact to 2^53, and never turned into text by `..`, which rounds them.
local LAYOUT = '<dddI4BB'
local HOLDER, HOLDER_END = 31, 46
local LEVEL = 2^50  -- places of one level; level 0 is the sync lane's

local function encode(place, ready_at_ms, token, memory_mb, deliveries, max_deliveries, holder)
  return struct.pack(LAYOUT, place, ready_at_ms, token, memory_mb, deliveries, max_deliveries) .. holder
end

local function decode(record)
  return struct.unpack(LAYOUT, record)
end

local function is_held(record, token)
  local current = struct.unpack('<d', record, 17)
  return current > 0 and current == tonumber(token)
end

local function is_leased(record)
  return struct.unpack('<d', record, 17) > 0
end

local function holder_of(record)
  return string.sub(record, HOLDER, HOLDER_END)
end

local function flagged(record)
  return string.sub(record, 1, HOLDER_END) .. '!'
end

local function is_flagged(record)
  return #record > HOLDER_END
end

local function is_sync(place)
  return place < LEVEL
end

local function place_of(record)
  return (struct.unpack('<d', record))
end
