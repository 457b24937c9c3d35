"""An api that answers what a test wants."""

from collections.abc import Iterator

import pytest

from tests.unit.deploy.stub_api import StubApi


@pytest.fixture
def api() -> Iterator[StubApi]:
    with StubApi() as stub:
        yield stub
