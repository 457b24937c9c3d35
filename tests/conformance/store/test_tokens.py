import asyncio

import pytest
from msgspec.structs import replace

from common.errors import (
    AppsNotFoundError,
    FirstTokenError,
    LastAdminTokenError,
    TokenNotFoundError,
    TooManyTokensError,
    UnauthorizedError,
)
from common.models import MAX_TOKENS, App, Scope, Token, hash_secret, new_id, new_secret
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import NOW, until_blocked


def a_token(scope: Scope = Scope.ADMIN, app_name: str | None = None) -> Token:
    return Token(
        id=new_id(),
        name="of a test",
        scope=scope,
        app_name=app_name,
        hash=hash_secret(new_secret()),
        created_at=NOW,
    )


async def test_a_token_comes_back_as_it_was_kept(store: PostgresStore, app: App) -> None:
    assert await store.get_tokens() == []
    tokens = [a_token(), a_token(Scope.APP, app.name), a_token(Scope.INVOKE, app.name)]
    for token in tokens:
        assert await store.insert_token(token) == token
    assert await store.get_tokens() == tokens
    undated = await store.insert_token(replace(a_token(), created_at=None))
    assert undated.created_at is not None


async def test_no_secret_is_kept(store: PostgresStore) -> None:
    secret = new_secret()
    await store.insert_token(replace(a_token(), hash=hash_secret(secret)))
    (row,) = await store.get_database().fetch("SELECT * FROM tokens")
    assert not any(secret in str(value) or secret.encode() in bytes(str(value), "utf-8") for value in row)


async def test_a_token_of_an_app_that_is_not_there_is_refused(store: PostgresStore, app: App) -> None:
    await store.insert_token(a_token())
    for name in ("unknown", "nul\0"):
        with pytest.raises(AppsNotFoundError):
            await store.insert_token(a_token(Scope.APP, name))


async def test_the_first_token_is_an_admins(store: PostgresStore, app: App) -> None:
    for scope in (Scope.APP, Scope.INVOKE):
        with pytest.raises(FirstTokenError):
            await store.insert_token(a_token(scope, app.name))
    assert await store.get_tokens() == []


async def test_of_many_first_tokens_at_once_one_is_kept(store: PostgresStore) -> None:
    answers = await asyncio.gather(
        *(store.insert_token(a_token(), only_as_first=True) for _ in range(6)), return_exceptions=True
    )
    kept = [answer for answer in answers if isinstance(answer, Token)]
    assert await store.get_tokens() == kept
    assert len(kept) == 1
    assert {type(answer) for answer in answers} == {Token, UnauthorizedError}


async def test_the_last_admins_token_goes_last(store: PostgresStore, app: App) -> None:
    first, second, other = a_token(), a_token(), a_token(Scope.APP, app.name)
    for token in (first, second, other):
        await store.insert_token(token)
    answers = await asyncio.gather(
        store.remove_token(first.id), store.remove_token(second.id), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["LastAdminTokenError", "NoneType"]
    (admin,) = [token for token in await store.get_tokens() if token.scope is Scope.ADMIN]
    with pytest.raises(LastAdminTokenError):
        await store.remove_token(admin.id)
    await store.remove_token(other.id)
    await store.remove_token(admin.id)
    assert await store.get_tokens() == []


async def test_an_unknown_token_is_not_found(store: PostgresStore) -> None:
    with pytest.raises(TokenNotFoundError):
        await store.remove_token(new_id())


async def test_there_are_only_so_many(store: PostgresStore) -> None:
    await store.insert_token(a_token())
    await store.get_database().execute(
        "INSERT INTO tokens (id, name, hash, scope)"
        " SELECT gen_random_uuid(), 'more', int8send(number), 'admin' FROM generate_series(2, $1::bigint) number",
        MAX_TOKENS,
    )
    with pytest.raises(TooManyTokensError, match=str(MAX_TOKENS)):
        await store.insert_token(a_token())
    assert len(await store.get_tokens()) == MAX_TOKENS


async def test_removing_an_app_takes_its_tokens_along(store: PostgresStore, app: App) -> None:
    await store.insert_app(App(name="other"))
    kept = [a_token(), a_token(Scope.APP, "other")]
    for token in (*kept, a_token(Scope.APP, app.name), a_token(Scope.INVOKE, app.name)):
        await store.insert_token(token)
    await store.remove_app(app.name)
    assert await store.get_tokens() == kept
    await store.insert_app(app)
    assert await store.get_tokens() == kept


async def test_no_token_outlives_an_app_that_is_removed_meanwhile(store: PostgresStore, app: App) -> None:
    await store.insert_token(a_token())
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("DELETE FROM apps")
        insertion = asyncio.create_task(store.insert_token(a_token(Scope.APP, app.name)))
        await until_blocked(store, 1)
    with pytest.raises(AppsNotFoundError):
        await insertion
    for _ in range(5):
        await store.insert_app(app)
        answers = await asyncio.gather(
            *(store.insert_token(a_token(Scope.APP, app.name)) for _ in range(4)),
            store.remove_app(app.name),
            return_exceptions=True,
        )
        assert {type(answer) for answer in answers if isinstance(answer, Exception)} <= {AppsNotFoundError}
        assert [token for token in await store.get_tokens() if token.app_name] == []
