"""A cold call by a bare client of the engine: the same image and the same limits, and nothing around it."""

import asyncio
from time import monotonic_ns
from typing import Any

from tests.load.cold.figures import BareCall
from tests.load.engine import Engine, EngineError


async def bare_call(engine: Engine, config: dict[str, Any], payload: bytes) -> BareCall:
    """Create, attach, start, write the input and its end, read the output, wait, remove.

    Raises EngineError unless the output is *payload*. The container is removed in any case."""
    began_ns = monotonic_ns()
    container = await engine.create(config)
    try:
        attachment = await engine.attach(container)
        created_ns = monotonic_ns()
        attachment.transport.write(payload)
        attachment.transport.write_eof()
        await engine.start(container)
        started_ns = monotonic_ns()
        exit_code, _ = await asyncio.gather(engine.wait(container), attachment.closed)
        ended_ns = monotonic_ns()
        if exit_code != 0 or attachment.output != payload:
            raise EngineError(f"a bare container exited with {exit_code}: {bytes(attachment.output)!r}")
    finally:
        await engine.remove(container)
    return BareCall(
        create_ns=created_ns - began_ns,
        start_ns=started_ns - created_ns,
        run_ns=ended_ns - started_ns,
        remove_ns=monotonic_ns() - ended_ns,
    )
