"""``python -m api``: exit code 0 after SIGTERM or SIGINT, 2 for bad settings, 1 for other trouble at the start."""

import asyncio
import os
import sys

import uvloop

from api.app import serve
from common.errors import MillraceError, SettingsError
from common.open_files import raise_open_files_limit
from common.settings import load_settings, require_servers
from common.telemetry.logs import configure_logs


def main() -> int:
    """Run the process; trouble at the start is one line on stderr."""
    try:
        raise_open_files_limit()
        settings = load_settings(os.environ)
        require_servers(settings)
        configure_logs(settings.log_level, settings.log_format, "api")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except SettingsError as error:
        return _say(error, 2)
    except (MillraceError, OSError) as error:
        return _say(error, 1)
    return 0


def _say(error: Exception, exit_code: int) -> int:
    # The text of a SettingsError says what was wrong already.
    has_more = isinstance(error, MillraceError) and not isinstance(error, SettingsError) and error.__cause__
    cause = f" ({error.__cause__})" if has_more else ""
    sys.stderr.write(f"millrace api: {error}{cause}\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
