#!/usr/bin/env python3
"""A hot function in format json: answers each call with the body that came. Only the standard library is needed.

One container takes one call after the other: a JSON object on standard input for each, a JSON object on standard output
as its answer, until the input ends. Standard error is the call's log.
"""

import base64
import json
import sys
from typing import Any

# A stray print() belongs in the log: among the answers it would break the protocol.
answers, sys.stdout = sys.stdout, sys.stderr


def handle(call: dict[str, Any], body: bytes) -> bytes:
    """The function itself. An exception ends the program: the caller gets a 502, the next call a new container."""
    print(f"call {call['call_id']}: {len(body)} bytes of {call.get('content_type')}")
    return body


def main() -> None:
    text = b""
    for line in sys.stdin.buffer:
        text += line
        if not line.rstrip().endswith(b"}"):
            continue
        try:
            call = json.loads(text)
        except ValueError:
            continue  # the object goes on: with json_framing "universal" it has several lines
        text = b""
        print(json.dumps(reply(call)), file=answers, flush=True)


def reply(call: dict[str, Any]) -> dict[str, Any]:
    """The answer's object. Bodies are text, or base64 where the route has body_encoding "base64"."""
    if call.get("body_encoding") == "base64":
        body = base64.b64encode(handle(call, base64.b64decode(call["body"]))).decode()
    else:
        body = handle(call, call["body"].encode()).decode()
    return {
        "body": body,
        "content_type": call.get("content_type") or "application/octet-stream",
        "protocol": {"status_code": 200, "headers": {"X-Echo": ["json"]}},
    }


main()
