"""A bench per test, and the function image."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.worker.bench import Bench, open_bench
from tests.shell_image import shell_image

__all__ = ["shell_image"]


@pytest.fixture
async def bench(database_url: str, redis_url: str, shell_image: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """A store and a queue of the test's own; its containers are removed at the end, whatever happened."""
    async with open_bench(database_url, redis_url, tmp_path / "spool") as bench:
        yield bench
