"""/v1/tokens: create, list, revoke. A secret is shown once; the first token may be created without one."""

from datetime import UTC, datetime

from aiohttp import web

from api.answers import Done
from api.keys import BODIES, STORE, TOKENS
from api.overviews import TokenList
from api.schemas import JSON_MAX_BYTES, decode_token, json_response, token_json
from api.tokens import TOKEN
from common.errors import InvalidTokenError, TokenNotFoundError
from common.models import Scope, Token, hash_secret, new_id, new_secret, parse_id
from common.wording import choice


async def list_tokens(request: web.Request) -> web.Response:
    tokens = await request.app[STORE].get_tokens()
    return json_response(
        TokenList(message="Successfully listed tokens", tokens=[token_json(token) for token in tokens])
    )


async def create_token(request: web.Request) -> web.Response:
    """The only answer that ever shows the secret."""
    secret = new_secret()
    token = await _body(request, hash_secret(secret))
    token.validate()
    # Whoever was let in without a token was let in because there was none: by now there may be one.
    is_first = request.get(TOKEN) is None
    kept = await request.app[STORE].insert_token(token, only_as_first=is_first)
    await request.app[TOKENS].reread()
    response = json_response(token_json(kept, secret))
    response.headers["Cache-Control"] = "no-store"
    return response


async def revoke_token(request: web.Request) -> web.Response:
    """At once for this process, within seconds for others."""
    token_id = parse_id(request.match_info["token"])
    if token_id is None:
        raise TokenNotFoundError
    await request.app[STORE].remove_token(token_id)
    await request.app[TOKENS].reread()
    return json_response(Done(message="Token revoked"))


async def _body(request: web.Request, hashed: bytes) -> Token:
    async with request.app[BODIES].body(request, JSON_MAX_BYTES) as body:
        fields = decode_token(body)
    try:
        scope = Scope(fields.scope or "")
    except ValueError as error:
        scopes = choice(fields.scope or "", map(str, Scope))
        raise InvalidTokenError(
            f"A token's scope is one of {', '.join(Scope)}: {scopes}", field="scope"
        ) from error
    return Token(
        id=new_id(),
        name=fields.name or "",
        scope=scope,
        app_name=fields.app or None,
        hash=hashed,
        created_at=datetime.now(UTC),
    )
