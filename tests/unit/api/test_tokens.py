"""How a token is found. What becomes of the cache without Postgres is tested with one, in tests/integration."""

import hmac

import pytest

from api.tokens import TokenSet
from common.models import Scope, Token, hash_secret, new_id, new_secret


def kept(secret: str) -> Token:
    return Token(id=new_id(), name="x", scope=Scope.ADMIN, hash=hash_secret(secret))


def test_a_secret_finds_its_token_and_no_other() -> None:
    secrets = [new_secret() for _ in range(3)]
    tokens = TokenSet(map(kept, secrets), 0)
    found = [tokens.find(secret) for secret in secrets]
    assert [token and token.hash for token in found] == [hash_secret(secret) for secret in secrets]
    for wrong in (new_secret(), secrets[0][:-1], secrets[0] + "A", secrets[0].lower(), "", "mr_"):
        assert tokens.find(wrong) is None
    assert tokens.find(hash_secret(secrets[0]).hex()) is None
    assert tokens.exist
    assert not TokenSet([], 0).exist


def test_only_hashes_are_compared_and_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = new_secret()
    tokens = TokenSet([kept(secret)], 0)
    assert secret not in repr(vars(tokens))
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def seen(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr("api.tokens.hmac.compare_digest", seen)
    assert tokens.find(secret)
    assert compared == [(hash_secret(secret), hash_secret(secret))]
    monkeypatch.setattr("api.tokens.hmac.compare_digest", lambda *_: False)
    assert tokens.find(secret) is None
