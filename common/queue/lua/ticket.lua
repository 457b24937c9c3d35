-- A sync call's ticket is in two hashes, so that to look at deadlines moves no messages: `sync` has what is packed here,
-- `message` the rest.
local TICKET = '<dc16'
local NOBODY = string.rep('\0', 16)  -- the reply_to of one whose api has ended

local function encode_ticket(deadline_ms, reply_to)
  return struct.pack(TICKET, deadline_ms, reply_to)
end

-- A call without a ticket, which can't be, is late and answers nobody.
local function decode_ticket(ticket)
  if not ticket then return 0, '' end
  return struct.unpack(TICKET, ticket)
end
