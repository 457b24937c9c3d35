"""The systems under test, and the function image that they run."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.system import System, no_containers
from tests.shell_image import shell_image

__all__ = ["shell_image"]


@pytest.fixture
async def system(
    database_url: str, redis_url: str, shell_image: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[System]:
    """A running api; the test starts workers as it needs them. Nothing may be left in the engine after it."""
    async with System(database_url, redis_url, tmp_path) as system:
        yield system
    await no_containers("millrace")
