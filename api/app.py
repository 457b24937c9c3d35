"""The api process put together: the only place where its parts are made and joined. They close in reverse order."""

import asyncio
import errno
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from api.access import access
from api.admission import Admission
from api.bodies import BodyBudget
from api.call_counts import CallCounter
from api.connections import Connections
from api.cors import Cors
from api.dead_letters import DeadLetters
from api.following import Following
from api.guard import require_loopback
from api.invocation import Submitter
from api.keys import (
    ADMISSION,
    ANNOUNCER,
    ANONYMOUS_RATE_LIMIT,
    BODIES,
    CONNECTIONS,
    CORS,
    COUNTER,
    FOLLOWING,
    LIFE,
    METRICS,
    QUEUE,
    QUOTAS,
    RATE_LIMIT,
    RECONCILER,
    RECORDER,
    RETRIES,
    ROUTES,
    SETTINGS,
    STORE,
    SUBMITTER,
    SYNC,
    TOKENS,
)
from api.maintenance import Maintenance
from api.metrics import Metrics
from api.middlewares import STOPPING, answer_errors, finish
from api.oversized import Oversized
from api.protocol import Runner
from api.protocol_log import ProtocolLog
from api.pusher import Pusher
from api.query import check_query
from api.queue_life import QueueLife
from api.quotas import Quotas
from api.rate_limit import RateLimit
from api.reconciler import Reconciler
from api.recorder import Recorder
from api.retention import Retention
from api.retries import Retries
from api.revisions import Revisions
from api.route_cache import RouteCache
from api.sandbox import OWN_ORIGIN
from api.sync import SyncCalls
from api.sync_limit import SyncLimit
from api.tokens import TOKEN, TokenCache
from api.urls import ENDPOINTS, add_urls
from common.errors import SettingsError, UnavailableError
from common.queue.announcer import Announcer
from common.queue.redis import RedisQueue
from common.settings import Settings
from common.store.postgres import PostgresStore
from common.telemetry.logs import get_logger

START_S = 60.0  # how long a server may be away at the start
START_RETRY_S = 1.0
KEEPALIVE_S = 75.0
LET_GO_S = 1.0  # how long open connections may bring one more request before they are closed
# Beyond drain_s, when the process ends: a worker that was told to end at the same time cuts its calls off after drain_s
# and replies to them; then those calls are answered that did not end.
WORKER_REPLY_S = 3.0
ANSWER_S = 5.0

Part = TypeVar("Part")

_log = get_logger("app")


def create_app(settings: Settings) -> web.Application:
    """The application; its parts open with it, and raise SettingsError for an address that needs tokens without any."""
    cors = Cors(settings.cors_origins)
    middlewares = [finish, answer_errors, cors.answer_preflight, access, check_query]
    app = web.Application(middlewares=middlewares, client_max_size=0)
    app[SETTINGS] = settings
    app[OWN_ORIGIN] = settings.functions_own_origin
    app[STOPPING] = asyncio.Event()
    app[METRICS] = Metrics()
    app[CONNECTIONS] = Connections(settings.connections_max, app[METRICS])
    app[BODIES] = BodyBudget(settings.body_stall_s)
    app[CORS] = cors
    app[LIFE] = QueueLife()
    app[RATE_LIMIT] = RateLimit(settings.rate_limit_per_s, settings.rate_limit_burst)
    app[ANONYMOUS_RATE_LIMIT] = RateLimit(
        settings.anonymous_rate_limit_per_s, settings.anonymous_rate_limit_burst
    )
    app[ENDPOINTS] = add_urls(app.router)
    if cors.is_on:
        app.on_response_prepare.append(cors.add_headers)
    parts = [_store, _tokens, _queue, _routes, _submitter, _counter, _sync, _following, _maintenance]
    app.cleanup_ctx.extend(parts)
    app.on_shutdown.append(_drain)
    return app


def create_runner(app: web.Application) -> web.AppRunner:
    """How the application is served. Payloads stay as they came, and there is no access log beside our own.

    A handler runs to its end when its client goes away: it is short and bounded, and half a change helps nobody. Those
    that wait for long (sync.py, following.py) are told.
    """
    return Runner(
        app,
        app[CONNECTIONS],
        logger=ProtocolLog(),
        access_log=None,
        auto_decompress=False,
        handler_cancellation=False,
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=app[SETTINGS].drain_s + WORKER_REPLY_S + ANSWER_S,
    )


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way, for drain_s; a later SIGINT ends that.

    Raises UnavailableError when a server stays away at the start, FatalError for what else makes serving pointless:
    among it SettingsError for a host or port that can't be had.
    """
    stopped = asyncio.Event()
    runner = create_runner(create_app(settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _signalled, number, runner.app, stopped)
    starting = asyncio.create_task(_start(runner, settings))
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await stopping
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.wait({starting, stopping})
        await _let_go(runner)
        await runner.cleanup()


def _signalled(number: int, app: web.Application, stopped: asyncio.Event) -> None:
    # A second SIGTERM says nothing new: a service manager sends one to every process, `millrace up` one more.
    if stopped.is_set() and number == signal.SIGINT and SYNC in app:
        app[SYNC].drain(0)
    stopped.set()


async def _let_go(runner: web.AppRunner) -> None:
    """Refuse connections, and end those that there are with an answer: a request shall not meet a connection's end."""
    runner.app[STOPPING].set()
    if sites := list(runner.sites):
        for site in sites:
            await site.stop()
        await asyncio.sleep(LET_GO_S)


async def _start(runner: web.AppRunner, settings: Settings) -> None:
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        is_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        variable = "MILLRACE_PORT" if is_port else "MILLRACE_HOST"
        where = f"{settings.host}:{settings.port}"
        raise SettingsError(
            f"{variable}: can't listen on {where}: {error.strerror}", field=variable
        ) from error
    _log.info("listening", host=settings.host, port=settings.port)


async def _store(app: web.Application) -> AsyncIterator[None]:
    store = await _patiently("Postgres", lambda: PostgresStore.open(app[SETTINGS]))
    app[STORE] = store
    try:
        yield
    finally:
        await store.aclose()


async def _tokens(app: web.Application) -> AsyncIterator[None]:
    tokens = app[TOKENS] = TokenCache(app[STORE])
    try:
        known = await _patiently("Postgres", tokens.get)
        if not known.exist:
            require_loopback(app[SETTINGS].host)
        yield
    finally:
        await tokens.aclose()


async def _queue(app: web.Application) -> AsyncIterator[None]:
    queue = RedisQueue.open(app[SETTINGS])
    app[QUEUE] = queue
    try:
        await _patiently("Redis", queue.check)
        admission = app[ADMISSION] = Admission(queue, app[SETTINGS].queue_max_calls)
        announcer = app[ANNOUNCER] = Announcer(queue)
        yield
        await announcer.aclose()
        await admission.aclose()
    finally:
        await queue.aclose()


async def _routes(app: web.Application) -> AsyncIterator[None]:
    routes = app[ROUTES] = RouteCache(app[STORE])
    yield
    await routes.aclose()


async def _submitter(app: web.Application) -> AsyncIterator[None]:
    quotas = app[QUOTAS] = Quotas(app[STORE], app[SETTINGS])
    pusher = Pusher(app[QUEUE], app[ADMISSION], app[LIFE])
    submitter = app[SUBMITTER] = Submitter(app[STORE], pusher, app[METRICS])
    app[RETRIES] = Retries(app[STORE], pusher, app[ADMISSION], quotas, app[METRICS])
    yield
    await submitter.aclose()
    await pusher.aclose()
    await quotas.aclose()


async def _counter(app: web.Application) -> AsyncIterator[None]:
    counter = app[COUNTER] = CallCounter(app[STORE])
    yield
    await counter.aclose()


async def _sync(app: web.Application) -> AsyncIterator[None]:
    recorder = app[RECORDER] = Recorder(app[STORE], app[METRICS])
    limit = SyncLimit(app[STORE], app[SETTINGS].app_max_sync_calls)
    sync = app[SYNC] = SyncCalls(app[QUEUE], recorder, limit, app[SETTINGS].start_timeout_s)
    yield
    await sync.aclose()
    await limit.aclose()
    await recorder.aclose()


async def _following(app: web.Application) -> AsyncIterator[None]:
    tokens = app[TOKENS]
    following = Following(app[STORE], app[QUEUE], lambda request: tokens.holds(request.get(TOKEN)))
    app[FOLLOWING] = following
    yield
    await following.aclose()


async def _drain(app: web.Application) -> None:
    app[FOLLOWING].drain()
    app[SYNC].drain(app[SETTINGS].drain_s + WORKER_REPLY_S)


async def _maintenance(app: web.Application) -> AsyncIterator[None]:
    store, queue, metrics, settings = app[STORE], app[QUEUE], app[METRICS], app[SETTINGS]
    announcer = app[ANNOUNCER]
    reconciler = app[RECONCILER] = Reconciler(store, queue, metrics, settings, app[LIFE])
    retention = Retention(store, metrics, settings)
    oversized = Oversized(store, queue, announcer, metrics, settings.no_capacity_grace_s)
    dead_letters = DeadLetters(store, queue, announcer, app[SYNC], app[RECORDER])
    maintenance = Maintenance(
        store, queue, reconciler, retention, oversized, dead_letters, Revisions(store, metrics)
    )
    maintenance.start()
    yield
    await maintenance.aclose()


async def _patiently(server: str, reach: Callable[[], Awaitable[Part]]) -> Part:
    """What *reach* returns, tried for START_S. Raises UnavailableError only after that, anything else at once."""
    give_up_at_s = time.monotonic() + START_S
    while True:
        try:
            return await reach()
        except UnavailableError as error:
            left_s = give_up_at_s - time.monotonic()
            if left_s <= 0:
                raise
            cause = str(error.__cause__ or error)
            _log.warning(f"{server} does not answer yet", cause=cause, giving_up_in_s=round(left_s))
        await asyncio.sleep(START_RETRY_S)
