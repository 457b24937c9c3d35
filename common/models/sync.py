"""Sync calls on the wire between api and worker: they have no row until they end, so Redis carries them whole.

The queue sees bytes only. Encoded and decoded here, so that both processes agree; never parsed by a client.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from common.models.call import Call
from common.models.outcome import Outcome


class SyncReply(Struct, frozen=True, kw_only=True):
    """The end of a sync call, for the api that waits for it. Its outcome comes without log and stats.

    ``claimed_at``: when its worker took it, on that worker's clock; None if it is not known.
    """

    id: UUID
    outcome: Outcome
    claimed_at: datetime | None = None


_encoder = msgspec.msgpack.Encoder()
_call_decoder = msgspec.msgpack.Decoder(Call)
_reply_decoder = msgspec.msgpack.Decoder(SyncReply)


def encode_call(call: Call) -> bytes:
    """All of *call*: its payload, headers and what its container is made from."""
    return _encoder.encode(call)


def decode_call(message: bytes) -> Call:
    """The inverse of encode_call. Raises msgspec.MsgspecError for what is none."""
    return _call_decoder.decode(message)


def encode_reply(reply: SyncReply) -> bytes:
    return _encoder.encode(reply)


def decode_reply(message: bytes) -> SyncReply:
    """The inverse of encode_reply. Raises msgspec.MsgspecError for what is none."""
    return _reply_decoder.decode(message)
