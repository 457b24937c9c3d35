"""``python -m worker``: the supervisor, or the child when the supervisor starts it.

Exit code 0 after a stop, 2 with one line on stderr for what makes running pointless (settings, schema, a server that is
not fit), 1 for a stop that had to be forced.
"""

import asyncio
import os
import sys
from functools import partial
from uuid import UUID

import uvloop

from common.errors import FatalError, ServerUnusableError, SettingsError
from common.models import parse_id
from common.open_files import raise_open_files_limit
from common.settings import Settings, load_settings, require_servers, wants_color
from common.telemetry.logs import configure_logs
from common.telemetry.streams import open_missing_streams
from worker.after_death import clean_up
from worker.app import serve
from worker.supervisor import CHILD_ARGUMENT, EXIT_FATAL, Supervisor


def main(arguments: list[str]) -> int:
    """Run the process that *arguments* ask for; its exit code."""
    open_missing_streams()
    try:
        raise_open_files_limit()
        settings = load_settings(os.environ)
        require_servers(settings)
        if not arguments:
            configure_logs(
                settings.log_level, settings.log_format, "supervisor", color=wants_color(os.environ)
            )
            return asyncio.run(_supervise(settings))
        configure_logs(settings.log_level, settings.log_format, "worker", color=wants_color(os.environ))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, _incarnation(arguments)))
    except FatalError as error:
        has_more = error.__cause__ and not isinstance(error, SettingsError | ServerUnusableError)
        cause = f" ({error.__cause__})" if has_more else ""
        sys.stderr.write(f"millrace worker: {error}{cause}\n")
        return EXIT_FATAL
    return 0


def _incarnation(arguments: list[str]) -> UUID:
    match arguments:
        case [flag, text] if flag == CHILD_ARGUMENT and (incarnation := parse_id(text)):
            return incarnation
    raise FatalError("takes no arguments: settings come from MILLRACE_* variables")


async def _supervise(settings: Settings) -> int:
    return await Supervisor(partial(clean_up, settings), settings.drain_s).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
