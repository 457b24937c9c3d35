"""What a client process drives: the three steps of a call's life in a queue. Stands on no package but msgspec."""

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct


class Servers(Struct, frozen=True, kw_only=True):
    """Where a client finds its server; ``queue`` tells apart what one server holds."""

    redis_url: str
    queue: str
    beanstalkd_socket: str = ""


class Driven(Protocol):
    """One client's connection to a queue. One request is under way at a time."""

    async def push(self, calls: int) -> None:
        """Put *calls* new calls, durably as far as the server's settings go."""
        ...

    async def take(self, calls: int) -> Sequence[Any]:
        """Take up to *calls*, at least one if any is ready. They are this client's until it acknowledges them."""
        ...

    async def ack(self, taken: Sequence[Any]) -> None:
        """Forget what was taken, for good."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
