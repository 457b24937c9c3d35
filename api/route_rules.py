"""What an operator allows of a route: its image's registry for everybody, a writable root for admins alone."""

from aiohttp import web

from api.keys import SETTINGS
from api.tokens import TOKEN
from common.errors import RoutesImageNotAllowedError, RoutesWritableRootNotAllowedError
from common.models import Route, Scope, listed, may_pull, may_use_local, parse_image
from common.models.registries import registry_of
from common.wording import shown


def is_admin(request: web.Request) -> bool:
    """Whether the request comes from an admin: by its token, or from this machine while there are no tokens."""
    token = request.get(TOKEN)
    return token is None or token.scope is Scope.ADMIN


def check_image(request: web.Request, image: str) -> None:
    """Raise RoutesImageNotAllowedError for the image of a registry that is not listed. No image at all is fine here.

    One without a registry in its name may be on the workers' engines already: they decide about that.
    """
    settings = request.app[SETTINGS]
    parsed = parse_image(image)
    if parsed is None or not parsed.domain or may_pull(parsed, listed(settings.registries)):
        return
    patterns = [pattern for pattern in listed(settings.local_images) if pattern != "*"]
    if not may_use_local(parsed, patterns):
        raise RoutesImageNotAllowedError(
            field="route.image",
            detail=f"{shown(image)} is of {shown(registry_of(parsed))}, and the operator allows"
            f" {settings.registries or 'none'} (MILLRACE_REGISTRIES)",
        )


def check_writable_root(request: web.Request, route: Route) -> None:
    """Raise RoutesWritableRootNotAllowedError if *route* asks for one, unless an admin does."""
    if route.writable_root and not is_admin(request):
        raise RoutesWritableRootNotAllowedError(field="route.writable_root")
