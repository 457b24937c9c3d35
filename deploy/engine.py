"""`python -m deploy.engine`: tells deploy/setup.sh whether Docker Engine can be used, as worker and demo would use it.

Exit code 0: it can, at the socket that is printed. 1: it can't, for the reason that is printed. 3: as 1, since it is
not installed. 4: as 1, since it does not run.
"""

import asyncio
import os
import sys

from common.engine import EngineError, Trouble, check_engine, engine_address, socket_path
from common.errors import FatalError

EXIT_CODES = {Trouble.NOT_INSTALLED: 3, Trouble.NOT_RUNNING: 4}


def main() -> int:
    """Ask the engine; the exit code."""
    try:
        path = socket_path(engine_address(os.environ))
        asyncio.run(check_engine(path))
    except FatalError as error:
        sys.stdout.write(f"{error}\n")
        return EXIT_CODES.get(error.trouble, 1) if isinstance(error, EngineError) else 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
