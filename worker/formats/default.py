"""Format ``default``: a container per call. stdin is the payload and its end, stdout the result, stderr the log.

The environment is the route's configuration, what is known of the call, and the request's headers as FN_HEADER_*. A
client names the headers, so they come first and everything else overrides them: they can forge neither configuration
nor a variable of the call.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from common.models import Call, Headers
from worker.containers.attach import AttachStream, Stream
from worker.formats.base import Capture
from worker.formats.headers import call_variables, canonical

HEADERS_MAX = 100
HEADERS_MAX_BYTES = 64 * 1024  # all of the environment must fit what the kernel passes to a new program
_HEADER_PREFIX = "FN_HEADER_"

# Fn v1 drops headers that bear these names.
_RESERVED = frozenset(
    {
        "fn_format",
        "fn_app_name",
        "fn_path",
        "fn_memory",
        "fn_type",
        "fn_call_id",
        "fn_method",
        "fn_request_url",
    }
)
_NOT_PASSED = _RESERVED | {"host", "content-length"}


class DefaultFormat:
    """See ColdFormat. The answer is complete when the container closed its output, which it does by exiting."""

    def environment(self, call: Call, payload: bytes) -> dict[str, str]:
        return {
            **header_variables(call.headers),
            **call.base_env,
            **call_variables(call, datetime.now(UTC) + timedelta(seconds=call.timeout)),
            # Always, and counted here: a function can tell that its input was cut short.
            f"{_HEADER_PREFIX}Content_Length": str(len(payload)),
        }

    async def exchange(
        self, stream: AttachStream, payload: bytes, capture: Capture, on_overflow: Callable[[], None]
    ) -> None:
        sending = asyncio.create_task(stream.send(payload))
        try:
            while pieces := await stream.read():
                for source, piece in pieces:
                    (capture.log if source is Stream.STDERR else capture.result).append(piece)
                if capture.result.overflowed:
                    on_overflow()
        finally:
            sending.cancel()
            await asyncio.wait({sending})


def header_variables(headers: Headers) -> dict[str, str]:
    """FN_HEADER_<Name> for each header that may be passed, within HEADERS_MAX and HEADERS_MAX_BYTES.

    ``X-A`` and ``X_A`` would be the same variable: the spelling with dashes wins, whatever the order.
    """
    joined: dict[str, list[str]] = {}
    for name, values in headers.items():
        if name.lower() not in _NOT_PASSED:
            joined.setdefault(canonical(name), []).extend(values)
    variables: dict[str, str] = {}
    taken: set[str] = set()
    left_bytes = HEADERS_MAX_BYTES
    for name in sorted(joined, key=lambda name: "_" in name):
        variable, value = _HEADER_PREFIX + name.replace("-", "_"), ", ".join(joined[name])
        left_bytes -= len(variable) + len(value.encode(errors="replace")) + 2
        if len(variables) == HEADERS_MAX or left_bytes < 0:
            break
        if variable.lower() not in taken and "\0" not in value:
            variables[variable] = value
            taken.add(variable.lower())
    return variables
