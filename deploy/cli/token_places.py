"""Where tokens are kept, as seen from here: behind an api, or, for a first one, directly in a database."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import msgspec

from common.errors import FatalError, MillraceError
from common.models import Scope, Token, hash_secret, new_id, new_secret, parse_id
from common.settings import Settings
from common.store.postgres import PostgresStore
from deploy.cli.address import Address
from deploy.cli.answers import decode
from deploy.cli.client import Client, path_of


class Shown(msgspec.Struct, omit_defaults=True):
    """A token as the api tells it; ``token`` is its secret, in the answer to its creation alone."""

    id: UUID
    name: str
    scope: Scope
    created_at: datetime
    app: str | None = None
    token: str = ""


class _List(msgspec.Struct):
    tokens: list[Shown]


class Tokens(Protocol):
    """Where tokens are kept, from here. Every method raises a FatalError that says what was wrong."""

    async def create(self, name: str, scope: Scope, app: str | None) -> Shown: ...

    async def list(self) -> list[Shown]: ...

    async def revoke(self, token_id: str) -> None: ...


class AskedTokens:
    """Those of an api."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(self, name: str, scope: Scope, app: str | None) -> Shown:
        wanted = {"name": name, "scope": scope, "app": app}
        return decode(await self._client.ask("POST", "/v1/tokens", msgspec.json.encode(wanted)), Shown)

    async def list(self) -> list[Shown]:
        return decode(await self._client.ask("GET", "/v1/tokens"), _List).tokens

    async def revoke(self, token_id: str) -> None:
        await self._client.ask("DELETE", path_of("v1", "tokens", token_id))


class StoredTokens:
    """Those of a database. Apis that run see a change within seconds."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    async def create(self, name: str, scope: Scope, app: str | None) -> Shown:
        secret = new_secret()
        now = datetime.now(UTC)
        token = Token(
            id=new_id(), name=name, scope=scope, app_name=app, hash=hash_secret(secret), created_at=now
        )
        with _fatal():
            token.validate()
            kept = await self._store.insert_token(token)
        return _shown(kept, secret)

    async def list(self) -> list[Shown]:
        with _fatal():
            return [_shown(token, "") for token in await self._store.get_tokens()]

    async def revoke(self, token_id: str) -> None:
        known = parse_id(token_id)
        if known is None:
            raise FatalError(f"{token_id!r} is no token's id: `millrace tokens list` shows them")
        with _fatal():
            await self._store.remove_token(known)


@asynccontextmanager
async def open_tokens(address: Address, token: str, database_url: str) -> AsyncIterator[Tokens]:
    """Those of *database_url* if that is given, else of the api at *address*, asked with *token*. Raises FatalError."""
    if not database_url:
        async with Client(address, token) as client:
            yield AskedTokens(client)
        return
    with _fatal():
        store = await PostgresStore.open(Settings(database_url=database_url))
    try:
        yield StoredTokens(store)
    finally:
        await store.aclose()


def _shown(token: Token, secret: str) -> Shown:
    return Shown(
        id=token.id,
        name=token.name,
        scope=token.scope,
        app=token.app_name,
        created_at=token.created_at or datetime.now(UTC),
        token=secret,
    )


@contextmanager
def _fatal() -> Iterator[None]:
    """Trouble of the store, in one line for a person."""
    try:
        yield
    except FatalError:
        raise
    except MillraceError as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise FatalError(f"{error}{cause}") from error
