"""Which priorities a token may give its calls: by its scope, since a call of a higher one delays those of everybody.

An admin, and whoever is let in while there are no tokens, may give any.
"""

from aiohttp import web

from api.keys import SETTINGS
from api.tokens import TOKEN
from common.errors import PriorityNotAllowedError
from common.models import MAX_PRIORITY, Scope


def check_priority(request: web.Request, priority: int, field: str) -> None:
    """Raise PriorityNotAllowedError, naming *field*, for a larger one than the request's token may give."""
    largest, setting = _largest(request)
    if priority > largest:
        raise PriorityNotAllowedError(
            f"Priority {priority} is not allowed: a token of this scope may give 0 to {largest} ({setting})",
            field=field,
        )


def _largest(request: web.Request) -> tuple[int, str]:
    token, settings = request.get(TOKEN), request.app[SETTINGS]
    if token is not None and token.scope is Scope.INVOKE:
        return settings.invoke_max_priority, "MILLRACE_INVOKE_MAX_PRIORITY"
    if token is not None and token.scope is Scope.APP:
        return settings.app_max_priority, "MILLRACE_APP_MAX_PRIORITY"
    return MAX_PRIORITY, ""
