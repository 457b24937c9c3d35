"""``python -m api``: exit code 0 after SIGTERM or SIGINT, 2 with one line on stderr for what makes running pointless
(settings, schema, a server that is not fit), 1 for other trouble at the start: starting again later may work.
"""

import asyncio
import os
import sys

import uvloop

from api.app import serve
from common.errors import FatalError, MillraceError, ServerUnusableError, SettingsError
from common.open_files import raise_open_files_limit
from common.settings import load_settings, require_servers, wants_color
from common.telemetry.logs import configure_logs
from common.telemetry.streams import open_missing_streams


def main() -> int:
    """Run the process; trouble at the start is one line on stderr."""
    open_missing_streams()
    try:
        raise_open_files_limit()
        settings = load_settings(os.environ)
        require_servers(settings)
        configure_logs(settings.log_level, settings.log_format, "api", color=wants_color(os.environ))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except FatalError as error:
        return _say(error, 2)
    except (MillraceError, OSError) as error:
        return _say(error, 1)
    return 0


def _say(error: Exception, exit_code: int) -> int:
    says_all = isinstance(error, SettingsError | ServerUnusableError) or not isinstance(error, MillraceError)
    has_more = error.__cause__ and not says_all
    cause = f" ({error.__cause__})" if has_more else ""
    sys.stderr.write(f"millrace api: {error}{cause}\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
