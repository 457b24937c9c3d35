-- One call's record in `meta`, packed: place, ready_at_ms, token, memory_mb, deliveries, max_deliveries, holder.
-- token is 0 and holder is empty unless the call is leased, so a positive token that is equal proves the lease. Numbers that can
-- pass 2^32 are doubles: exact to 2^53, and never turned into text by `..`, which rounds them.
local LAYOUT = '<dddI4BB'
local HOLDER = 31

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

local function holder_of(record)
  return string.sub(record, HOLDER)
end
