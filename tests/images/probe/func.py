"""The probe: one function that speaks default, json and http, and misbehaves as the query of each request asks.

Before the reply
    log=TEXT        a line on stderr                        flood=BYTES     that much on stderr, also while replying
    sleep=S         wait                                    hog=MB          allocate and touch
    at=before       end now, with the code of exit=N        raw=HEX         these bytes instead of a reply
The reply
    status=N        type=TEXT       header=NAME:VALUE, repeated             fat=BYTES       of headers
    size=BYTES      a body of that many x, in place of an echo
    report=1        a body that tells who answers, how often it has, and all that came in
    chunked=1       http only                               drip=S          in ten pieces, S apart
    at=during       end in the middle, with exit=N          cut=BYTES       leave out the end, then go on
After it
    trailing=TEXT   more on stdout, in one write    idle=S          garbage on stdout, after that time
    at=after        end, with exit=N
"""

import base64
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

FORMAT = os.environ["FN_FORMAT"]
CONTAINER = secrets.token_hex(8)
served = 0


class Request(NamedTuple):
    """A call, whatever the format. *frame* is the object of format json."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    frame: dict[str, Any]

    def wish(self, name: str, default: str = "") -> str:
        return self.wishes(name)[0] if self.wishes(name) else default

    def wishes(self, name: str) -> list[str]:
        return parse_qs(urlsplit(self.url).query, keep_blank_values=True).get(name, [])

    def number(self, name: str) -> float:
        return float(self.wish(name, "0"))


def main() -> None:
    global served  # noqa: PLW0603
    for request in {"default": read_default, "json": read_json, "http": read_http}[FORMAT]():
        served += 1
        flood = prepare(request)
        reply = bytes.fromhex(request.wish("raw")) or encode(request, body_of(request))
        emit(request, reply)
        flood.join()
        afterwards(request)


# -- requests ----------------------------------------------------------------------------------------------------


def read_default() -> Iterator[Request]:
    headers = [item for item in os.environ.items() if item[0].startswith("FN_HEADER_")]
    method, url = os.environ["FN_METHOD"], os.environ["FN_REQUEST_URL"]
    yield Request(method, url, headers, sys.stdin.buffer.read(), {})


def read_json() -> Iterator[Request]:
    text = b""
    for line in sys.stdin.buffer:
        text += line
        if not line.rstrip().endswith(b"}"):
            continue
        try:
            frame = json.loads(text)
        except ValueError:
            continue
        lines, text = text.count(b"\n"), b""
        http = frame["protocol"]
        headers = [(name, value) for name, values in http["headers"].items() for value in values]
        is_base64 = frame.get("body_encoding") == "base64"
        body = base64.b64decode(frame["body"], validate=True) if is_base64 else frame["body"].encode()
        frame |= {"body": len(body), "lines": lines}
        yield Request(http["method"], http["request_url"], headers, body, frame)


def read_http() -> Iterator[Request]:
    while line := sys.stdin.buffer.readline():
        method, url, version = line.decode("latin-1").split()
        assert version == "HTTP/1.1"
        headers = []
        while line := sys.stdin.buffer.readline().rstrip(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        (length,) = [value for name, value in headers if name.lower() == "content-length"]
        yield Request(method, url, headers, sys.stdin.buffer.read(int(length)), {})


# -- before the reply --------------------------------------------------------------------------------------------


def prepare(request: Request) -> threading.Thread:
    """Do what comes before the reply; a thread that may still flood stderr."""
    for text in request.wishes("log"):
        say(text)
    flood = threading.Thread(target=fill_log, args=(int(request.number("flood")),))
    flood.start()
    time.sleep(request.number("sleep"))
    hog = bytearray(int(request.number("hog")) * 2**20)
    hog[::4096] = b"x" * len(hog[::4096])
    end_if(request, "before")
    return flood


def fill_log(size: int) -> None:
    line = b"." * 1023 + b"\n"
    for start in range(0, size, len(line)):
        sys.stderr.buffer.write(line[: size - start])
    sys.stderr.flush()


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def end_if(request: Request, moment: str) -> None:
    """End the program if that is asked for at this *moment*; exit=kill by a signal to itself."""
    if request.wish("at") == moment:
        if request.wish("exit") == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(int(request.number("exit")))


# -- the reply ---------------------------------------------------------------------------------------------------


def body_of(request: Request) -> bytes:
    if request.wish("report"):
        return json.dumps(report(request)).encode()
    return b"x" * int(request.number("size")) if request.wish("size") else request.body


def report(request: Request) -> dict[str, object]:
    return {
        "container": CONTAINER,
        "served": served,
        "pid": os.getpid(),
        "env": dict(os.environ),
        **request._replace(body=b"")._asdict(),
        "body": len(request.body),
    }


def encode(request: Request, body: bytes) -> bytes:
    headers = [header.partition(":")[::2] for header in request.wishes("header")]
    if request.wish("fat"):
        headers.append(("X-Fat", "x" * int(request.number("fat"))))
    encoders = {"default": lambda *_: body, "json": encode_json, "http": encode_http}
    return encoders[FORMAT](request, headers, body)


def encode_json(request: Request, headers: list[tuple[str, str]], body: bytes) -> bytes:
    listed: dict[str, list[str]] = {}
    for name, value in headers:
        listed.setdefault(name, []).append(value)
    is_base64 = request.frame.get("body_encoding") == "base64"
    reply: dict[str, object] = {
        "body": base64.b64encode(body).decode() if is_base64 else body.decode(),
        "protocol": {"status_code": int(request.number("status") or 200), "headers": listed},
    }
    if request.wish("type"):
        reply["content_type"] = request.wish("type")
    return json.dumps(reply).encode() + b"\n"


def encode_http(request: Request, headers: list[tuple[str, str]], body: bytes) -> bytes:
    if request.wish("type"):
        headers.append(("Content-Type", request.wish("type")))
    if request.wish("chunked"):
        headers.append(("Transfer-Encoding", "chunked"))
        pieces = [body[start : start + 1000] for start in range(0, len(body), 1000)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    else:
        headers.append(("Content-Length", str(len(body))))
    head = [f"HTTP/1.1 {int(request.number('status') or 200)} So", *(f"{n}: {v}" for n, v in headers), "", ""]
    return "\r\n".join(head).encode("latin-1") + (b"" if request.method == "HEAD" else body)


def emit(request: Request, reply: bytes) -> None:
    reply = reply[: len(reply) - int(request.number("cut"))]
    if request.wish("at") == "during":
        write(reply[: len(reply) // 2])
        end_if(request, "during")
    step = -(-len(reply) // 10) if request.wish("drip") else len(reply)
    for start in range(0, len(reply), step or 1):
        trailing = request.wish("trailing").encode() if start + step >= len(reply) else b""
        write(reply[start : start + step] + trailing)
        time.sleep(request.number("drip"))


def write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def afterwards(request: Request) -> None:
    end_if(request, "after")
    if request.wish("idle"):
        threading.Timer(request.number("idle"), write, [b"garbage"]).start()


main()
