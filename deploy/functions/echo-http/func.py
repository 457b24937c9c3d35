#!/usr/bin/env python3
"""A hot function in format http: answers each request with the body that came. Only the standard library is needed.

One container takes one call after the other: HTTP/1.1 requests on standard input, responses on standard output, until
the input ends. Standard error is the call's log.
"""

import sys
from http.server import BaseHTTPRequestHandler

# A stray print() belongs in the log: among the responses it would break the protocol.
requests, responses = sys.stdin.buffer, sys.stdout.buffer
sys.stdout = sys.stderr


class Function(BaseHTTPRequestHandler):
    """Serves one connection, which is not a socket here but the two streams. Logs a line for each request."""

    protocol_version = "HTTP/1.1"  # the connection stays open after a response

    def setup(self) -> None:
        self.rfile, self.wfile = requests, responses

    def finish(self) -> None:
        responses.flush()

    def echo(self) -> None:
        """The function itself. An exception ends the program: the caller gets a 502, the next call a new container."""
        body = self.rfile.read(int(self.headers["Content-Length"]))  # always there, and exact
        print(f"call {self.headers['Fn_call_id']}: {len(body)} bytes")
        self.send_response(200)
        self.send_header("Content-Type", self.headers.get("Content-Type", "application/octet-stream"))
        self.send_header("Content-Length", str(len(body)))  # or chunked: the end of the answer must be known
        self.send_header("X-Echo", "http")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)  # flushed by the base class, as every response is

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = echo


Function(request=None, client_address=("platform", 0), server=None)
