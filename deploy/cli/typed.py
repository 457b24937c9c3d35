"""How `millrace` can be typed in a shell that stands where this process was started."""

import shlex
import shutil
import sys
from pathlib import Path

NAME = "millrace"


def typed_command() -> str:
    """`millrace` if the shell finds this one, else its path: from the current folder if it is below it."""
    program = Path(sys.executable).with_name(NAME)
    found = shutil.which(NAME)
    if found and Path(found).resolve() == program.resolve():
        return NAME
    here = Path.cwd()
    return shlex.quote(str(program.relative_to(here) if program.is_relative_to(here) else program))
