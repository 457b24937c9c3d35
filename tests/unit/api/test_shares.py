"""How much one client may take of what all share."""

from api.clients import Client
from api.shares import Shares

A, B, C = (Client(name) for name in "abc")
OPS = Client("ops", is_management=True)


def fill(shares: Shares, client: Client, at_least: int = 1) -> int:
    """Take all that *client* gets, one by one; how much that was."""
    taken = 0
    while shares.take(client, 1, at_least=at_least):
        taken += 1
    return taken


def test_one_client_takes_half_and_the_next_half_of_the_rest() -> None:
    shares = Shares(100)
    assert (fill(shares, A), fill(shares, B), fill(shares, C)) == (50, 25, 12)
    assert shares.used == 87


def test_what_is_given_back_is_there_for_all() -> None:
    shares = Shares(100)
    fill(shares, A)
    shares.give_back(A, 50)
    assert (shares.used, fill(shares, B)) == (0, 50)


def test_the_reserve_is_for_management_alone() -> None:
    shares = Shares(100, reserve=60)
    assert (fill(shares, A), fill(shares, B)) == (40, 0)
    assert fill(shares, OPS) == 30


def test_what_one_request_needs_is_given_while_there_is_room() -> None:
    shares = Shares(100)
    assert fill(shares, A, at_least=70) == 70
    assert fill(shares, B, at_least=70) == 30
    assert not shares.take(C, 1, at_least=70)


def test_a_refusal_takes_nothing_and_says_how_much_there_is() -> None:
    shares = Shares(10)
    shares.take(A, 3)
    assert not shares.take(A, 5)
    assert shares.used == 3
    assert shares.state(A, "bytes").startswith("this client holds 3 of 10 bytes, all clients 3.")
    assert shares.state(B, "bytes").startswith("this client holds 0 of 10 bytes, all clients 3.")
