"""Query parameters that nobody knows. Endpoints that only Millrace has refuse them, with the name that was meant.

Fn v1 ignored them, so its endpoints do too, and tell so in the header Millrace-Warning. The query of a call of a
function is the function's own.
"""

from aiohttp import web
from aiohttp.typedefs import Handler

from api.handlers import apps, calls, health, overview, routes
from api.headers import ANSWER_HEADERS
from api.urls import ENDPOINTS, Access, Endpoint
from common.errors import UnknownParameterError

WARNING = "Millrace-Warning"
_OF_FN = frozenset(
    {
        *(apps.list_apps, apps.create_app, apps.get_app, apps.update_app, apps.delete_app),
        *(routes.list_routes, routes.create_route, routes.get_route, routes.put_route, routes.update_route),
        *(routes.delete_route, calls.list_calls, calls.get_call, calls.get_log),
        *(overview.get_stats, health.metrics),
    }
)


@web.middleware
async def check_query(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raise UnknownParameterError where only Millrace's clients ask; warn where Fn's do."""
    endpoint = request.app[ENDPOINTS].get(request.match_info.route)
    if endpoint is not None and _is_checked(endpoint) and request.query:
        known = {parameter.name for parameter in endpoint.description.query}
        unknown = next((name for name in request.query if name not in known), None)
        if unknown is not None:
            error = UnknownParameterError.of(unknown, known)
            if is_strict(endpoint):
                raise error
            text = error.message.encode("ascii", "replace").decode()
            request[ANSWER_HEADERS] = [(WARNING, f"{text} It was ignored.")]
    return await handler(request)


def is_strict(endpoint: Endpoint) -> bool:
    """Whether an unknown parameter is refused there."""
    return _is_checked(endpoint) and endpoint.handler not in _OF_FN


def _is_checked(endpoint: Endpoint) -> bool:
    """Open endpoints take any parameters: probes and browsers add their own."""
    return endpoint.method != "*" and endpoint.access is not Access.OPEN
