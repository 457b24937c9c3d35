"""A client process: drives one contestant by the orders it reads, one a line, and answers each with what it measured.

Run as ``python -m tests.load.queue.client CONTESTANT`` with the interpreter of the contestant's environment. The first
line says where the servers are. Ends with its input; holds nothing between two orders but its connections.
"""

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from time import monotonic_ns
from typing import Any, Literal

import msgspec
import uvloop
from msgspec import Struct

from tests.load.queue.driven import Driven, Servers

DRIVEN = {
    "floor": ("ours", "Floor"),
    "millrace": ("ours", "Millrace"),
    "arq": ("peers", "Arq"),
    "saq": ("peers", "Saq"),
    "taskiq": ("peers", "Taskiq"),
    "celery": ("peers", "Celery"),
    "beanstalkd": ("peers", "Beanstalkd"),
}


class Order(Struct, frozen=True, kw_only=True):
    """``push``: put *calls* calls. ``cycle``: push, take, ack *batch* calls, again and again for *seconds*.

    ``versions``: of *packages*, as they are installed here."""

    do: Literal["versions", "push", "cycle"]
    batch: int = 1
    calls: int = 0
    seconds: float = 0.0
    packages: tuple[str, ...] = ()


class Answer(Struct, kw_only=True):
    """``*_ns``: how long each push, take and ack of a batch took. ``error``: empty unless the order failed."""

    error: str = ""
    versions: dict[str, str] = {}
    calls: int = 0
    elapsed_ns: int = 0
    push_ns: list[int] = []
    take_ns: list[int] = []
    ack_ns: list[int] = []


async def serve(contestant: str, lines: Iterator[bytes]) -> None:
    """Carry out orders until there are no more."""
    servers = msgspec.json.decode(next(lines), type=Servers)
    module, name = DRIVEN[contestant]
    driven: Driven | None = None
    for line in lines:
        order = msgspec.json.decode(line, type=Order)
        try:
            if driven is None:
                driven = getattr(import_module(f"tests.load.queue.{module}"), name)(servers)
            answer = await carry_out(driven, order)
        except Exception as error:  # noqa: BLE001  (whatever a peer raises becomes its line in the report)
            answer = Answer(error=f"{type(error).__name__}: {error}")
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()
    if driven is not None:
        await driven.aclose()


async def carry_out(driven: Driven, order: Order) -> Answer:
    """Do what *order* says."""
    if order.do == "versions":
        return Answer(versions={package: version(package) for package in order.packages})
    if order.do == "push":
        for done in range(0, order.calls, order.batch):
            await driven.push(min(order.batch, order.calls - done))
        return Answer(calls=order.calls)
    return await cycle(driven, order.batch, order.seconds)


async def cycle(driven: Driven, batch: int, seconds: float) -> Answer:
    """The measurement: the depth stays what it was, whatever the rates of the three steps are."""
    answer = Answer(push_ns=[], take_ns=[], ack_ns=[])
    began = monotonic_ns()
    end = began + int(seconds * 1e9)
    calls = batch
    while (now := monotonic_ns()) < end:
        await driven.push(calls)
        pushed = monotonic_ns()
        taken = await take(driven, batch)
        took = monotonic_ns()
        await driven.ack(taken)
        acked = monotonic_ns()
        answer.push_ns.append(pushed - now)
        answer.take_ns.append(took - pushed)
        answer.ack_ns.append(acked - took)
        calls = len(taken)
        answer.calls += calls
    answer.elapsed_ns = monotonic_ns() - began
    return answer


async def take(driven: Driven, batch: int) -> Sequence[Any]:
    """Up to *batch*, at least one: where clients race for the same calls, an attempt may bring fewer, or none."""
    while True:
        if taken := await driven.take(batch):
            return taken


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], iter(sys.stdin.buffer.readline, b"")))
