"""Format ``json``: objects on stdin and stdout of a container that stays, one request and one response at a time.

How an object is laid out is the route's json_framing. ``line``: one line each. ``universal``: the one layout that the
published readers of Fn all accept, though each looks for the object's end in its own way: at a newline and ``}``, at
``}`` and a newline, or at a line of ``}`` before an empty one. Objects are ASCII: what is not is escaped.
"""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from json import dumps
from typing import Any

from common.models import BODY_BASE64, FRAMING_LINE, Call
from worker.formats.base import ResponseReader
from worker.formats.headers import UnsendableCallError, instant, request_headers, request_url
from worker.formats.json_reader import JSONReader


class JSONFormat:
    """See HotFormat."""

    def request(self, call: Call, payload: bytes, deadline: datetime) -> Sequence[bytes]:
        """One object. Raises UnsendableCallError for a payload that is not UTF-8, unless the route encodes bodies."""
        headers = request_headers(call, payload, deadline)
        about = {
            "call_id": str(call.id),
            "content_type": headers.get("Content-Type", [""])[0],
            "type": call.type,
            "deadline": instant(deadline),
            **_body(call, payload),
        }
        protocol = {
            "method": call.method,
            "request_url": request_url(call),
            "headers": headers,
            "type": "http",
        }
        if call.json_framing == FRAMING_LINE:
            return ((_compact({**about, "protocol": protocol}) + "\n").encode("ascii"),)
        # Headers are not last, or their own brace would stand where readers look for the end.
        head, tail = _compact(about).removesuffix("}"), _compact(protocol).removesuffix("}")
        return (f'{head},"protocol":{tail}\n}} \n}}\n\n'.encode("ascii"),)

    def reader(self, call: Call, max_bytes: int) -> ResponseReader:
        return JSONReader(body_encoding=call.body_encoding, max_bytes=max_bytes)


def _body(call: Call, payload: bytes) -> dict[str, str]:
    if call.body_encoding == BODY_BASE64:
        return {"body": b64encode(payload).decode("ascii"), "body_encoding": BODY_BASE64}
    try:
        return {"body": payload.decode()}
    except UnicodeDecodeError as error:
        raise UnsendableCallError("the payload is not UTF-8") from error


def _compact(value: dict[str, Any]) -> str:
    return dumps(value, ensure_ascii=True, separators=(",", ":"))
