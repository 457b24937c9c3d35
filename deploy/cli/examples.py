"""Examples in a command's help: each a line for a shell, shown as it is. A test runs them all."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Command = TypeVar("Command", bound=Callable[..., Any])

_AS_IT_IS = "\b"  # click wraps the lines of a paragraph, but for one that begins so


def examples(*lines: str) -> Callable[[Command], Command]:
    """Add these lines to the help of a command, which its docstring is."""

    def add(command: Command) -> Command:
        head = "Example:" if len(lines) == 1 else "Examples:"
        shown = "\n".join([_AS_IT_IS, head, *(f"  {line}" for line in lines)])
        command.__doc__ = f"{inspect.cleandoc(command.__doc__ or '')}\n\n{shown}"
        return command

    return add
