"""`millrace up`: everything on one machine, started in order, kept running, stopped in reverse."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM, Signals

from common.engine import check_engine, socket_path
from common.errors import FatalError
from common.settings import Settings
from deploy.cli.address import left_address
from deploy.cli.answers import ClientError
from deploy.cli.client import Client
from deploy.cli.demo import run_demo
from deploy.cli.demo_hot import run_hot_demo
from deploy.cli.keeper import Keeper
from deploy.cli.logs import nothing, warnings_of_ours
from deploy.cli.service import Service, ServiceError
from deploy.cli.terminal import Terminal
from deploy.cli.typed import typed_command
from deploy.local import LocalPostgres, LocalRedis
from deploy.local.account import Account, own_account, service_account
from deploy.local.directories import lock, make_own_directory, make_service_directory

API_STOP_MARGIN_S = 15.0
# The children write to files, and what a person must see is picked from there: in one format, at once.
LOGGING = {"MILLRACE_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}
NO_HOME = "/nonexistent"
FOR_US_ALONE = ("MILLRACE_TOKEN",)
WORKER_STOP_MARGIN_S = 60.0  # its supervisor kills an overdue child, and then cleans up after it


async def run_until_signal(
    work: Callable[[asyncio.Event], Coroutine[None, None, None]], terminal: Terminal
) -> int:
    """Run *work*; Ctrl-C, SIGTERM or a closed terminal cancels it, once. Raises what *work* raises.

    *work* sets the event that it is given when it is ready. Returns the exit code: 0, but 128 and the signal's number
    if the signal came before that."""
    ready = asyncio.Event()
    task = asyncio.ensure_future(work(ready))
    loop = asyncio.get_running_loop()
    exit_code = 0

    def stop(signal: Signals) -> None:
        nonlocal exit_code
        if task.cancelling():
            terminal.note("already stopping: running calls are given their time to end")
        else:
            exit_code = 0 if ready.is_set() else 128 + signal
            task.cancel()

    for signal in (SIGINT, SIGTERM, SIGHUP):
        loop.add_signal_handler(signal, stop, signal)
    try:
        await task
    except asyncio.CancelledError:
        terminal.line("stopped" if ready.is_set() else "stopped before it was ready")
        return exit_code
    return 0


async def up(
    settings: Settings,
    environ: Mapping[str, str],
    terminal: Terminal,
    ready: asyncio.Event,
    *,
    demo: bool,
    once: bool,
) -> None:
    """Start everything, set *ready*, and keep it running until cancelled; with *once*, only until it is ready.

    With *demo*, the first start shows one. Raises FatalError with the reason when something can't be started or the
    demo fails. However it ends, all that was started is stopped, in reverse order."""
    data = Path(settings.data_dir)
    _refuse_taken_ports(settings, environ, data)
    engine = socket_path(settings.docker_socket)
    await check_engine(engine)
    terminal.title("Starting Millrace")
    account = await asyncio.to_thread(service_account)
    async with _data_directory(data, account) as logs, _keeper(terminal, ready) as keeper:
        passed = {name: value for name, value in environ.items() if name not in FOR_US_ALONE}
        environ = {**passed, **await _start_servers(keeper, settings, data), **LOGGING}
        api = _api(settings, environ, logs, account)
        await keeper.start(api, api.url, warnings_of_ours)
        async with Client(api.url, settings.token) as client:
            is_first = await is_first_start(client, terminal)
            if demo and is_first:
                one_slot = _worker(settings, {**environ, "MILLRACE_WORKER_SLOTS": "1"}, logs)
                await run_demo(client, keeper, one_slot, terminal, engine)
                await run_hot_demo(client, terminal, engine)
                if once:
                    return
                terminal.title("Starting the worker with all its slots")
                await keeper.stop(one_slot)
            elif demo:
                terminal.note("  no demo: it is for the first start, while there is no app")
        worker = _worker(settings, environ, logs)
        await keeper.start(worker, worker.url, warnings_of_ours)
        if once:
            return
        with left_address(data, api.url):
            ready.set()
            _show_ready(terminal, api, logs, "demo /hello" if demo and is_first else "APP /ROUTE")
            await asyncio.Event().wait()


def _refuse_taken_ports(settings: Settings, environ: Mapping[str, str], data: Path) -> None:
    """Raise ServiceError for a port that can't be had, before anything is started."""
    services = _api(settings, environ, data, own_account()), _worker(settings, environ, data)
    for service in services:
        service.refuse_taken_port()
    if len({service.url for service in services}) == 1:
        raise ServiceError(
            f"the api and the worker can't both listen on {services[0].url}: set MILLRACE_WORKER_PORT to another port"
        )


async def is_first_start(client: Client, terminal: Terminal) -> bool:
    """Whether there is nothing yet: no app, no call. Says what a person should know of what is there."""
    try:
        queue = await client.get_queue_state()
        if queue.is_paused:
            terminal.warning("the queue is paused: no call runs until `millrace queue resume`")
        elif queue.waiting:
            terminal.note(f"  {queue.waiting} calls wait from before")
        return not (queue.is_paused or queue.waiting or await client.has_apps())
    except ClientError as error:
        if not error.is_of_api:  # it refuses: a token is needed, or it does not serve /v1
            raise
        terminal.note(f"  what is there can't be seen: {error}")
        return False


@asynccontextmanager
async def _data_directory(data: Path, account: Account) -> AsyncIterator[Path]:
    """Make the data directory where it is missing and lock it for us; the folder for logs inside it."""
    try:
        make_own_directory(data, account)
        logs = make_service_directory(data / "logs", own_account())
        held = await lock(
            data / "lock", f"Millrace runs already on {data} (set MILLRACE_DATA_DIR for another one)"
        )
    except OSError as error:
        raise FatalError(f"{data} can't be used for data: {error} (set MILLRACE_DATA_DIR)") from error
    try:
        yield logs
    finally:
        os.close(held)


@asynccontextmanager
async def _keeper(terminal: Terminal, ready: asyncio.Event) -> AsyncIterator[Keeper]:
    try:
        async with asyncio.TaskGroup() as tasks:
            keeper = Keeper(tasks, terminal)
            is_brief = False
            try:
                yield keeper
            except asyncio.CancelledError:
                is_brief = not ready.is_set()
                raise
            finally:
                await _to_the_end(keeper.stop_all(is_brief=is_brief))
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:  # a group of one says no more than the one
            raise group.exceptions[0] from None
        raise


async def _to_the_end(work: Coroutine[None, None, None]) -> None:
    """Await *work*, which must be bounded, to its end also when cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def _start_servers(keeper: Keeper, settings: Settings, data: Path) -> dict[str, str]:
    """Start the servers that the settings don't name; the variables that tell the others of them."""
    found = {"MILLRACE_DATABASE_URL": settings.database_url, "MILLRACE_REDIS_URL": settings.redis_url}
    postgres, redis = LocalPostgres(data / "postgres"), LocalRedis(data / "redis")
    for variable, server in zip(found, (postgres, redis), strict=True):
        if not found[variable]:
            await keeper.start(server, str(server.directory), nothing, is_server=True)
            found[variable] = server.url
    return found


def _api(settings: Settings, environ: Mapping[str, str], logs: Path, account: Account) -> Service:
    """The api, under the account of the servers: it needs nothing that is root's."""
    stop_s = settings.drain_s + API_STOP_MARGIN_S
    environ = environ if account == own_account() else {**environ, "HOME": NO_HOME}
    host, port = settings.host, settings.port
    return Service("api", host=host, port=port, environ=environ, logs=logs, stop_s=stop_s, account=account)


def _worker(settings: Settings, environ: Mapping[str, str], logs: Path) -> Service:
    stop_s = settings.drain_s + WORKER_STOP_MARGIN_S
    host, port = settings.worker_host, settings.worker_port
    return Service("worker", host=host, port=port, environ=environ, logs=logs, stop_s=stop_s)


def _show_ready(terminal: Terminal, api: Service, logs: Path, route: str) -> None:
    millrace = typed_command()
    terminal.title(f"Millrace is ready at {api.url}")
    terminal.line(f"  documentation   {api.url}/docs")
    terminal.line(f"  command line    {millrace} --help")
    terminal.line(f"  submit a call   {millrace} call {route} --data world --wait")
    terminal.line(f"  the same, HTTP  curl -X POST -d world {api.url}/r/{route.replace(' /', '/')}")
    terminal.line(f"  logs            {logs}")
    terminal.line("  stop            Ctrl-C (accepted calls are kept and run after the next start)")
