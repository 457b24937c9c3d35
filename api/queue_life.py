"""QueueLife: which life of the queue's data was last known to be whole, told by the reconciler to whoever pushes calls.

After a loss new calls have to wait until the older ones are back, or they would run before them. Decides nothing.
"""

import asyncio


class QueueLife:
    """``generation``: of the data that was whole, None if none ever was. ``doubted``: somebody wants a look now.

    ``changed``: set with every other generation; whoever waits for one clears it before.
    """

    def __init__(self) -> None:
        self.generation: int | None = None
        self.doubted = asyncio.Event()
        self.changed = asyncio.Event()

    def doubt(self) -> None:
        """Say that the queue could not be reached, or is of another generation: it may have lost something."""
        self.doubted.set()

    def confirm(self, generation: int) -> None:
        """Say that nothing was missing in the data of *generation*, whatever the queue has now; 0: there was none."""
        if generation != (self.generation or 0):
            self.generation = generation or None
            self.changed.set()
