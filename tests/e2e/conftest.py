"""The systems under test, and the function images that they run."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.conftest import TEMPLATE, _database
from tests.e2e.system import System, no_containers
from tests.images.python_image import build_image
from tests.shell_image import shell_image

__all__ = ["shell_image"]

IMAGES = Path(__file__).parent.parent / "images"
FUNCTIONS = Path(__file__).parent.parent.parent / "deploy" / "functions"


@pytest.fixture
async def system(
    database_url: str, redis_url: str, shell_image: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[System]:
    """A running api; the test starts workers as it needs them. Nothing may be left in the engine after it."""
    async with System(database_url, redis_url, tmp_path) as system:
        yield system
    await no_containers(f"millrace.installation={await _installation(database_url)}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_system(
    postgres_url: str, redis_url: str, shell_image: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """A system with one worker of four slots, for all tests of a module: each has routes of its own."""
    async with _database(postgres_url, TEMPLATE) as database_url:
        async with System(database_url, redis_url, tmp_path_factory.mktemp("shared")) as system:
            await system.start_worker(worker_slots=4, result_max_bytes=2 * 2**20)
            yield system
        await no_containers(f"millrace.installation={await _installation(database_url)}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def probe_image(docker: str) -> str:
    """The image of the probe function, once the engine has it."""
    return await build_image(IMAGES / "probe")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def echo_images(docker: str) -> dict[str, str]:
    """The images of the example functions for the hot formats, by format."""
    return {name: await build_image(FUNCTIONS / f"echo-{name}") for name in ("json", "http")}


async def _installation(database_url: str) -> str:
    """What the containers of this database's workers are labelled with: others may use the engine, too."""
    connection = await asyncpg.connect(database_url)
    try:
        return str(
            await connection.fetchval("SELECT id FROM installation")
        )  # None: no worker ever asked for it
    finally:
        await connection.close()
