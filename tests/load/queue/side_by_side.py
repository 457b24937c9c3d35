"""The contestants beside each other: same Redis, same number of clients, in turns, each second round backwards.

The floor is one of them: how far its rounds differ shows what else the machine did.
"""

from contextlib import AsyncExitStack

from tests.load.queue.field import FIELD, Contestant
from tests.load.queue.figures import FieldLine, Rates, median_of, rates
from tests.load.queue.plan import MAX_BATCH
from tests.load.queue.programs import Clients, ProgramError
from tests.load.queue.stage import Stage

QUEUE = "load"
WARM_UP_S = 0.1


class Entrant:
    """A contestant with its clients, and what was measured of it so far."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self.missing = ""
        self._clients: Clients | None = None
        self._versions: dict[str, str] = {}
        self._found: dict[int, list[Rates]] = {batch: [] for batch in contestant.batches}

    async def prepare(self, stage: Stage, stack: AsyncExitStack) -> None:
        """Start its clients and let them put the calls that stand in its queue. What goes wrong is its `missing`."""
        try:
            clients = await stack.enter_async_context(stage.clients(self.contestant, QUEUE))
            self._versions = await clients.versions(self.contestant.packages)
            # One by one where batches are not measured; of the others some take a whole batch in one go.
            await clients.push(stage.plan.standing, MAX_BATCH if MAX_BATCH in self._found else 1)
            for batch in self._found:
                await clients.cycle(batch, WARM_UP_S)
            self._clients = clients
        except ProgramError as error:
            self.missing = str(error)
            stage.say(f"{self.contestant.title} is not measured: {error}")

    async def measure(self, stage: Stage) -> None:
        """One round."""
        if self._clients is None:
            return
        try:
            for batch, found in self._found.items():
                found.append(rates(await self._clients.cycle(batch, stage.plan.measure_s)))
        except ProgramError as error:
            self.missing, self._clients = str(error), None
            stage.say(f"{self.contestant.title} failed: {error}")

    def lines(self) -> list[FieldLine]:
        """What was measured, by batch; one line that says why if it was not."""
        name = self.contestant.name
        if self.missing:
            return [FieldLine(name=name, batch=1, versions=self._versions, missing=self.missing)]
        return [
            FieldLine(
                name=name,
                batch=batch,
                versions=self._versions,
                rates=median_of(found),
                rounds=[each.cycles_per_s for each in found],
            )
            for batch, found in self._found.items()
        ]


async def measure_field(stage: Stage, names: tuple[str, ...]) -> list[FieldLine]:
    """All contestants of *names*, in the order of the field."""
    entrants = [Entrant(contestant) for contestant in FIELD if contestant.name in names]
    async with AsyncExitStack() as stack:
        for entrant in entrants:
            stage.say(f"starting the clients of {entrant.contestant.title}")
            await entrant.prepare(stage, stack)
        for number in range(stage.plan.rounds):
            stage.say(f"side by side, round {number + 1} of {stage.plan.rounds}")
            for entrant in entrants if number % 2 == 0 else reversed(entrants):
                await entrant.measure(stage)
    return [line for entrant in entrants for line in entrant.lines()]
