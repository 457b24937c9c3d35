"""Shares: a limited amount that all clients use, of which no client can take so much that nothing is left for others.

A client may hold as much as is still free after it took it: alone at most half of all, and less the more others hold.
So some is always free for a client that holds nothing. A reserve is for management requests.
"""

from collections import Counter

from api.clients import Client


class Shares:
    """*total* in any unit; *reserve* of it only management requests may take."""

    def __init__(self, total: int, reserve: int = 0) -> None:
        self.total = total
        self.reserve = reserve
        self.used = 0
        self._held: Counter[str] = Counter()

    def take(self, client: Client, amount: int, *, at_least: int = 1) -> bool:
        """Take *amount* for *client*, or nothing if that is too much; whether it was taken.

        *at_least* is what a client may hold, however little is free after that: what one request may need.
        """
        free = self.total - self.used - amount
        held = self._held[client.name] + amount
        if free < (0 if client.is_management else self.reserve) or held > max(at_least, free):
            return False
        self.used += amount
        self._held[client.name] = held
        return True

    def give_back(self, client: Client, amount: int) -> None:
        """Give back what *client* took."""
        self.used -= amount
        self._held[client.name] -= amount
        if not self._held[client.name]:
            del self._held[client.name]

    def state(self, client: Client, unit: str) -> str:
        """How much there is, for the text of a refusal."""
        return (
            f"this client holds {self._held.get(client.name, 0)} of {self.total} {unit}, all clients {self.used}."
            " A client may hold as much as is left free"
        )
