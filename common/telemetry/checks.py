"""Which servers answer: asked side by side, within a time. Its words tell no address: they are for everybody."""

import asyncio
from collections.abc import Awaitable, Mapping

from common.errors import MillraceError, ServerUnusableError


async def find_troubles(checks: Mapping[str, Awaitable[object]], within_s: float) -> dict[str, str | None]:
    """By server, what is wrong with it; None if its check returns in time. Raises what is no MillraceError."""
    found = await asyncio.gather(*(_trouble(check, within_s) for check in checks.values()))
    return dict(zip(checks, found, strict=True))


async def _trouble(check: Awaitable[object], within_s: float) -> str | None:
    try:
        async with asyncio.timeout(within_s):
            await check
    except TimeoutError:
        return f"no answer within {within_s:g} s"
    except ServerUnusableError as error:  # its text names the server: for the log, not for everybody
        return error.default_message
    except MillraceError as error:
        return error.message
    return None
