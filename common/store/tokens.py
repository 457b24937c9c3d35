"""The tokens of the store. Holds the rules that need to see them all: the first is an admin's, and so is the last."""

from uuid import UUID

from asyncpg import Record

from common.errors import (
    AppsNotFoundError,
    FirstTokenError,
    LastAdminTokenError,
    TokenNotFoundError,
    TooManyTokensError,
    UnauthorizedError,
)
from common.models import MAX_TOKENS, Scope, Token
from common.store.database import Connection, OnDatabase
from common.store.queries import query
from common.store.text import searchable


class Tokens(OnDatabase):
    """Tokens, by age. The promises stand in TokenStore."""

    async def get_tokens(self) -> list[Token]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("get_tokens"))
        return [_token(row) for row in rows]

    async def insert_token(self, token: Token, *, only_as_first: bool = False) -> Token:
        async with self._database.transaction() as connection:
            # Before the tokens are locked, as the removal of an app does: else the two could wait for each other.
            await _keep_app(connection, token.app_name)
            count = await _locked_count(connection)
            if only_as_first and count["total"]:
                raise UnauthorizedError
            if not count["total"] and token.scope is not Scope.ADMIN:
                raise FirstTokenError(field="scope")
            if count["total"] >= MAX_TOKENS:
                raise TooManyTokensError(f"{TooManyTokensError.default_message} (the limit is {MAX_TOKENS})")
            columns = token.id, token.name, token.scope, token.app_name, token.hash, token.created_at
            (row,) = await connection.fetch(query("insert_token"), *columns)
        return _token(row)

    async def remove_token(self, token_id: UUID) -> None:
        async with self._database.transaction() as connection:
            count = await _locked_count(connection)
            row = await connection.fetchrow(query("get_token"), token_id)
            if row is None:
                raise TokenNotFoundError
            if row["scope"] == Scope.ADMIN and count["admins"] == 1 and count["total"] > 1:
                raise LastAdminTokenError
            await connection.execute(query("remove_token"), token_id)


async def _keep_app(connection: Connection, app_name: str | None) -> None:
    if app_name is not None and not await connection.fetchrow(query("keep_app"), searchable(app_name)):
        raise AppsNotFoundError


async def _locked_count(connection: Connection) -> Record:
    await connection.execute(query("lock_tokens"))
    (count,) = await connection.fetch(query("count_tokens"))
    return count


def _token(row: Record) -> Token:
    # By name: the table may have columns of a newer version, which runs beside this one.
    columns = {name: row[name] for name in Token.__struct_fields__}
    return Token(**{**columns, "scope": Scope(row["scope"])})
