"""Who is shown why an image could not be had or started: admins the words of engine and registry, others a code.

An image's name can point anywhere: what answered there would make the api a scanner of networks that only the
workers reach. Its words may hold paths of a worker's machine.
"""

from typing import TypeVar

from aiohttp import web
from msgspec.structs import replace

from api.keys import TOKENS
from api.tokens import TOKEN
from common.models import Call, Detail, Outcome, Scope

Ended = TypeVar("Ended", Call, Outcome)

PULL_FAILED = "The image could not be pulled"
START_FAILED = "The container could not be started"
START_REFUSED = (
    "The container can't be started as its image asks: check its user, command, working directory and volumes"
)

_PULLS = frozenset(
    {
        Detail.IMAGE_NOT_ALLOWED,  # else it would tell which images are on an engine
        Detail.IMAGE_NOT_FOUND,
        Detail.PULL_DENIED,
        Detail.PULL_FAILED,
        Detail.REGISTRY_UNKNOWN,
        Detail.REGISTRY_UNREACHABLE,
        Detail.REGISTRY_TIMEOUT,
    }
)
_SHOWN: dict[str, tuple[str, str]] = {
    **dict.fromkeys(_PULLS, (Detail.PULL_FAILED, PULL_FAILED)),
    Detail.START_FAILED: (Detail.START_FAILED, START_FAILED),
    Detail.START_REFUSED: (Detail.START_REFUSED, START_REFUSED),
}


def sees_causes(request: web.Request) -> bool:
    """Whether who asks is an admin, or a program of this machine while there are no tokens."""
    token = request.get(TOKEN)
    return token.scope is Scope.ADMIN if token else not request.app[TOKENS].exist()


def for_caller(request: web.Request, ended: Ended) -> Ended:
    """*ended* as who asks may see it."""
    if sees_causes(request):
        return ended
    last = getattr(ended, "last_detail", "")
    if last in _SHOWN:
        detail, error = _SHOWN[last]
        ended = replace(ended, last_detail=detail, last_error=error)
    if ended.detail in _SHOWN:
        detail, error = _SHOWN[ended.detail]
        ended = replace(ended, detail=detail, error=error)
    elif ended.detail == Detail.TOO_MANY_ATTEMPTS:
        ended = replace(ended, error=ended.error.partition(". The last one: ")[0])
    return ended
