"""Who may ask: before every handler, the token of a request against what the URL table demands.

Without any token, guard.py's rules for this machine hold instead. What is not known to be allowed is refused, and a
refusal never depends on what exists. Knows nothing of what handlers do with what is let through.
"""

import re

from aiohttp import web
from aiohttp.typedefs import Handler

from api.clients import CLIENT, Client, name_of
from api.guard import check_local, is_opened_from_outside, refuse_service_worker
from api.handlers import apps, calls, invoke
from api.keys import ANONYMOUS_RATE_LIMIT, CORS, METRICS, RATE_LIMIT, ROUTES, SETTINGS, TOKENS
from api.pages import confirmation
from api.parameters import app_name_of, route_path_of
from api.tokens import TOKEN
from api.urls import ENDPOINTS, Access, Endpoint
from common.errors import (
    APINotSupportedError,
    ForbiddenError,
    InvokeNotSupportedError,
    MillraceError,
    PathMalformedError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)
from common.models import Scope, Token

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)
_NOT_SERVED = {"v1": APINotSupportedError, "r": InvokeNotSupportedError}
# Their paths name no app. They show a token's own app only, which their handlers see to.
_SHOW_ONLY_OWN = frozenset({apps.list_apps, calls.find_call})


@web.middleware
async def access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raise what check_local raises, PathMalformedError for a target that is no UTF-8, ServiceWorkerRefusedError,

    InvokeNotSupportedError, APINotSupportedError, UnauthorizedError, ForbiddenError, RateLimitedError or
    StoreUnavailableError.
    """
    try:
        _check_path(request)
        refuse_service_worker(request)
        await _check(request)
    except MillraceError as error:
        request.app[METRICS].requests_refused.labels(error.slug).inc()
        raise
    if _calls_function(request) and not request.app[TOKENS].exist() and is_opened_from_outside(request):
        return confirmation(request)
    return await handler(request)


def may(token: Token, endpoint: Endpoint, app_name: str | None) -> bool:
    """Whether the token is good for this endpoint. *app_name*: as the path has it, None if it names no app."""
    if token.scope is Scope.ADMIN:
        return True
    if endpoint.access is Access.ADMIN or (endpoint.access is Access.APP and token.scope is Scope.INVOKE):
        return False
    if app_name is None:
        return endpoint.handler in _SHOW_ONLY_OWN
    return app_name == token.app_name


async def _check(request: web.Request) -> None:
    app = request.app
    endpoint = app[ENDPOINTS].get(request.match_info.route)
    if endpoint is None or endpoint.access is Access.OPEN:  # also unknown paths: what there is, is no secret
        if not app[TOKENS].exist():
            check_local(request, app[CORS])
        _check_served(request)
        return
    tokens = await app[TOKENS].get()
    if not tokens.exist:
        check_local(request, app[CORS])
    _check_served(request)
    secret = _secret_of(request)
    token = tokens.find(secret) if secret else None
    client = Client(
        name_of(token, request.remote),
        is_management=endpoint.access is not Access.INVOKE
        or (token is not None and token.scope is Scope.ADMIN),
        is_anonymous=tokens.exist and token is None,
    )
    _check_rate(request, client)
    request[TOKEN], request[CLIENT] = token, client
    if not tokens.exist or (token and may(token, endpoint, request.match_info.get("app"))):
        return
    if not await _is_public(request, endpoint):
        raise ForbiddenError if token else UnauthorizedError
    request[CLIENT] = client._replace(is_anonymous=True)  # another app's token gives no say here


def _calls_function(request: web.Request) -> bool:
    endpoint = request.app[ENDPOINTS].get(request.match_info.route)
    return endpoint is not None and endpoint.handler is invoke.invoke


def _check_path(request: web.Request) -> None:
    try:
        request.raw_path.encode()
        request.path.encode()
    except UnicodeEncodeError as error:
        raise PathMalformedError from error


def _check_served(request: web.Request) -> None:
    served = request.app[SETTINGS].serve
    part = request.path.removeprefix("/").partition("/")[0]
    if served not in ("all", part) and part in _NOT_SERVED:
        raise _NOT_SERVED[part]


def _secret_of(request: web.Request) -> str | None:
    given = request.headers.getall("Authorization", [])
    match = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
    return match[1] if match else None


def _check_rate(request: web.Request, client: Client) -> None:
    limits = (RATE_LIMIT, ANONYMOUS_RATE_LIMIT) if client.is_anonymous else (RATE_LIMIT,)
    if retry_after_s := max(request.app[limit].take(client.name) for limit in limits):
        raise RateLimitedError(retry_after_s)


async def _is_public(request: web.Request, endpoint: Endpoint) -> bool:
    """Whether this is a call of a route that anybody may call. Raises UnavailableError if that can't be found out."""
    if endpoint.handler is not invoke.invoke:
        return False
    try:
        found = await request.app[ROUTES].get(app_name_of(request), route_path_of(request))
    except UnavailableError:
        raise
    except MillraceError:
        return False
    return bool(found.route.public)
