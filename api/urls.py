"""The URL table: every path that is served. A wrong method is an unknown path, as in Fn v1."""

from aiohttp import web
from aiohttp.typedefs import Handler

from api.handlers import apps, calls, health, invoke, queue, routes

APP = "/v1/apps/{app:[^/]+}"
# An empty name is no unknown path but a missing name.
IN_APP = "/v1/apps/{app:[^/]*}"
ROUTE = IN_APP + "/routes/{route:.*}"
CALL = IN_APP + "/calls/{call:[^/]+}"

URLS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/", health.hello),
    ("GET", "/version", health.version),
    ("GET", "/healthz", health.healthz),
    ("GET", "/readyz", health.readyz),
    ("GET", "/metrics", health.metrics),
    ("GET", "/v1/apps", apps.list_apps),
    ("POST", "/v1/apps", apps.create_app),
    ("GET", APP, apps.get_app),
    ("PATCH", APP, apps.update_app),
    ("DELETE", APP, apps.delete_app),
    ("GET", IN_APP + "/routes", routes.list_routes),
    ("POST", IN_APP + "/routes", routes.create_route),
    ("GET", ROUTE, routes.get_route),
    ("PUT", ROUTE, routes.put_route),
    ("PATCH", ROUTE, routes.update_route),
    ("DELETE", ROUTE, routes.delete_route),
    ("GET", IN_APP + "/calls", calls.list_calls),
    ("GET", CALL, calls.get_call),
    ("GET", CALL + "/log", calls.get_log),
    ("GET", CALL + "/result", calls.get_result),
    ("GET", "/v1/queue", queue.get_depth),
    ("GET", "/v1/queue/head", queue.get_head),
    ("POST", "/v1/queue/pause", queue.pause),
    ("POST", "/v1/queue/resume", queue.resume),
    ("*", "/r/{app:[^/]+}", invoke.invoke),
    ("*", "/r/{app:[^/]*}/{route:.*}", invoke.invoke),
)


def add_urls(router: web.UrlDispatcher) -> None:
    """Make *router* serve the table."""
    for method, path, handler in URLS:
        router.add_route(method, path, handler)
