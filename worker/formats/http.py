"""Format ``http``: HTTP/1.1 on stdin and stdout of a container that stays, one request and one response at a time.

The request names the absolute URL and always has a Content-Length; it is never chunked and expects no 100. It is never
repaired beyond its URL: a method that is none, or a URL without a host, is refused.
"""

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from common.models import Call
from worker.formats.base import ResponseReader
from worker.formats.headers import TOKEN, UnsendableCallError, request_headers, request_url
from worker.formats.http_reader import HTTPReader


class HTTPFormat:
    """See HotFormat."""

    def request(self, call: Call, payload: bytes, deadline: datetime) -> Sequence[bytes]:
        """The head and *payload* itself. Raises UnsendableCallError for a call without a method or an absolute URL."""
        if not TOKEN.fullmatch(call.method):
            raise UnsendableCallError("the call's method is no HTTP method")
        url = request_url(call)
        lines = [f"{call.method} {url} HTTP/1.1", f"Host: {_host(url)}"]
        for name, values in request_headers(call, payload, deadline).items():
            lines += [f"{name}: {value}" for value in values]
        return "\r\n".join([*lines, "", ""]).encode(), payload

    def reader(self, call: Call, max_bytes: int) -> ResponseReader:
        return HTTPReader(is_head=call.method == "HEAD", max_bytes=max_bytes)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UnsendableCallError("the call's URL is malformed") from error
    host = parts.netloc.rpartition("@")[2]
    if not parts.scheme or not host:
        raise UnsendableCallError("the call's URL is not absolute")
    return host
