"""Where clusters stand: servers for all of them, and one cluster that the tests share for as long as they pass."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec.structs import replace

from tests.chaos.agreement import disagreements
from tests.chaos.cluster import Cluster, Plan
from tests.chaos.history import History
from tests.chaos.servers import Servers

# Short enough that tests need not wait long for what runs out, and long enough for a machine that stands still for a
# second. A heartbeat outlives a lease by far: of the two, the lease runs out first.
HASTY: dict[str, object] = {
    "lease_s": 3,
    "heartbeat_s": 1,
    "heartbeat_stale_s": 8,
    "reconcile_interval_s": 1,
}
SHARED = Plan(apis=2, workers=2, settings=HASTY)


class Yard:
    """Opens clusters. The shared one is made when it is first asked for, and anew after ``discard``."""

    def __init__(self, servers: Servers, image: str) -> None:
        self.servers = servers
        self._image = image
        self._stack = AsyncExitStack()
        self._shared: Cluster | None = None

    async def shared(self) -> Cluster:
        """The shared cluster, behind proxies, with an empty history and everything at rest."""
        if self._shared is None:
            addresses = await self.servers.addresses(through_proxies=True)
            self._shared = await self._stack.enter_async_context(
                Cluster.open(SHARED, addresses, self.servers.new_directory(), self._image)
            )
        await self._shared.ready()
        self._shared.witness.history = History()
        await self._shared.audit.forget()
        return self._shared

    @asynccontextmanager
    async def cluster(
        self, plan: Plan, redis_url: str = "", direct_redis_url: str = ""
    ) -> AsyncIterator[Cluster]:
        """One of a test's own, straight on the servers, or on another Redis than theirs."""
        addresses, directory = await self.servers.addresses(), self.servers.new_directory()
        if redis_url:
            addresses = replace(
                addresses, redis_url=redis_url, direct_redis_url=direct_redis_url or redis_url
            )
        async with Cluster.open(plan, addresses, directory, self._image) as cluster:
            yield cluster

    async def discard(self) -> None:
        """Stop the shared cluster, whatever state it is in, with its servers in order."""
        self._shared = None
        for proxy in (self.servers.redis_proxy, self.servers.postgres_proxy):
            proxy.heal()
        await self._stack.aclose()

    async def close(self) -> list[str]:
        """Stop the shared cluster in order; what does not agree after that."""
        cluster = self._shared
        if cluster is None:
            return []
        await cluster.stop()
        found = await disagreements(cluster)
        await self.discard()
        return found
