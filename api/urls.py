"""The URL table: every path that is served, who may ask for it, and what it is for.

The table is also what the API's description is generated from (openapi.py); what a handler takes, answers and refuses
stands in descriptions/.
"""

from enum import Enum

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Struct

from api.descriptions import DESCRIPTIONS
from api.descriptions.parts import UNDESCRIBED, Description
from api.handlers import (
    apps,
    calls,
    dead,
    docs,
    follow,
    health,
    invoke,
    overview,
    queue,
    routes,
    steering,
    submissions,
    tokens,
)

APP = "/v1/apps/{app:[^/]+}"
# An empty name is no unknown path but a missing name.
IN_APP = "/v1/apps/{app:[^/]*}"
# A route's path may hold anything, line ends too: what is wrong with it is said by who looks for it.
ROUTE = IN_APP + "/routes/{route:(?s:.*)}"
CALL = IN_APP + "/calls/{call:[^/]+}"
TOKENS = "/v1/tokens"


class Access(Enum):
    """Who may ask: anybody, who may call the app's functions, who may change the app, or who runs the system.

    The app is the one that the path names; access.py refuses tokens of an app where it names none.
    """

    OPEN = "open"
    INVOKE = "invoke"
    APP = "app"
    ADMIN = "admin"


class Endpoint(Struct, frozen=True, kw_only=True):
    """One method of one path, or every one (``*``). ``summary`` is a short sentence for people."""

    method: str
    path: str
    handler: Handler
    access: Access
    summary: str
    description: Description = UNDESCRIBED


def _endpoint(method: str, path: str, handler: Handler, access: Access, summary: str) -> Endpoint:
    description = DESCRIPTIONS.get(handler, UNDESCRIBED)
    return Endpoint(
        method=method, path=path, handler=handler, access=access, summary=summary, description=description
    )


URLS: tuple[Endpoint, ...] = (
    _endpoint("GET", "/", health.hello, Access.OPEN, "Say hello"),
    _endpoint("GET", "/version", health.version, Access.OPEN, "The version of the api"),
    _endpoint("GET", "/healthz", health.healthz, Access.OPEN, "Whether the process answers"),
    _endpoint("GET", "/readyz", health.readyz, Access.OPEN, "Whether calls are accepted"),
    _endpoint("GET", "/metrics", health.metrics, Access.ADMIN, "Metrics in Prometheus's text format"),
    _endpoint("GET", "/openapi.json", docs.get_openapi, Access.OPEN, "What the api can do, for programs"),
    _endpoint("GET", "/docs", docs.get_docs, Access.OPEN, "What the api can do, for people"),
    _endpoint("GET", "/docs/docs.css", docs.get_style, Access.OPEN, "The style of that page"),
    _endpoint("GET", "/docs/docs.js", docs.get_script, Access.OPEN, "The script of that page"),
    _endpoint("GET", "/v1/apps", apps.list_apps, Access.APP, "List apps"),
    _endpoint("POST", "/v1/apps", apps.create_app, Access.ADMIN, "Create an app"),
    _endpoint("GET", APP, apps.get_app, Access.APP, "Show an app"),
    _endpoint("PATCH", APP, apps.update_app, Access.APP, "Change the config of an app"),
    _endpoint("DELETE", APP, apps.delete_app, Access.ADMIN, "Delete an app with its routes and calls"),
    _endpoint("GET", IN_APP + "/routes", routes.list_routes, Access.APP, "List the routes of an app"),
    _endpoint("POST", IN_APP + "/routes", routes.create_route, Access.APP, "Create a route"),
    _endpoint("GET", ROUTE, routes.get_route, Access.APP, "Show a route"),
    _endpoint("PUT", ROUTE, routes.put_route, Access.APP, "Create a route, or change the one that is there"),
    _endpoint("PATCH", ROUTE, routes.update_route, Access.APP, "Change a route"),
    _endpoint("DELETE", ROUTE, routes.delete_route, Access.APP, "Delete a route"),
    _endpoint(
        "GET", IN_APP + "/calls", calls.list_calls, Access.APP, "List the calls of an app, newest first"
    ),
    _endpoint(
        "POST", IN_APP + "/calls", submissions.submit_calls, Access.INVOKE, "Submit async calls, one or many"
    ),
    _endpoint("GET", CALL, calls.get_call, Access.INVOKE, "Show a call"),
    _endpoint(
        "GET", "/v1/calls/{call:[^/]+}", calls.find_call, Access.INVOKE, "Find a call, whatever its app"
    ),
    _endpoint("DELETE", CALL, steering.cancel_call, Access.INVOKE, "Cancel a call"),
    _endpoint("POST", CALL + "/retry", steering.retry_call, Access.INVOKE, "Make a new call of an ended one"),
    _endpoint("GET", CALL + "/events", follow.get_events, Access.INVOKE, "Hear of a call's transitions"),
    _endpoint("GET", CALL + "/log", calls.get_log, Access.INVOKE, "What a call wrote to stderr"),
    _endpoint("GET", CALL + "/result", calls.get_result, Access.INVOKE, "What a call answered"),
    _endpoint("GET", "/v1/queue", queue.get_depth, Access.ADMIN, "How deep the queue is"),
    _endpoint("GET", "/v1/queue/head", queue.get_head, Access.ADMIN, "The calls that come next"),
    _endpoint("POST", "/v1/queue/pause", queue.pause, Access.ADMIN, "Hand out no more calls"),
    _endpoint("POST", "/v1/queue/resume", queue.resume, Access.ADMIN, "Hand out calls again"),
    _endpoint("POST", "/v1/queue/rebuild", queue.rebuild, Access.ADMIN, "Put back what the queue lost"),
    _endpoint(
        "GET", "/v1/dead", dead.list_dead, Access.ADMIN, "List the calls that were given up, newest first"
    ),
    _endpoint("POST", "/v1/dead/requeue", dead.requeue, Access.ADMIN, "Make new calls of dead ones"),
    _endpoint(
        "POST", "/v1/dead/purge", dead.purge, Access.ADMIN, "Delete dead calls with all that is kept of them"
    ),
    _endpoint("GET", "/v1/workers", overview.list_workers, Access.ADMIN, "The workers, and what they run"),
    _endpoint(
        "GET", "/stats", overview.get_stats, Access.ADMIN, "How many calls there are, of each path and in all"
    ),
    _endpoint("GET", TOKENS, tokens.list_tokens, Access.ADMIN, "List tokens, without their secrets"),
    _endpoint("POST", TOKENS, tokens.create_token, Access.ADMIN, "Create a token; its secret is shown once"),
    _endpoint("DELETE", TOKENS + "/{token:[^/]+}", tokens.revoke_token, Access.ADMIN, "Revoke a token"),
    _endpoint("*", "/r/{app:[^/]+}", invoke.invoke, Access.INVOKE, "Call an app's root route"),
    _endpoint("*", "/r/{app:[^/]*}/{route:(?s:.*)}", invoke.invoke, Access.INVOKE, "Call a route"),
)


# What a request asks for, by aiohttp's name for it.
ENDPOINTS: web.AppKey[dict[web.AbstractRoute, Endpoint]] = web.AppKey("endpoints")


def add_urls(router: web.UrlDispatcher) -> dict[web.AbstractRoute, Endpoint]:
    """Make *router* serve the table; the endpoint behind each of its routes."""
    return {router.add_route(endpoint.method, endpoint.path, endpoint.handler): endpoint for endpoint in URLS}
