"""What the worker's log says of an error's cause is never empty."""

import pytest

from common.errors import EngineUnavailableError
from worker.causes import cause_of


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (None, "Container engine is unavailable"),
        (OSError(111, "refused"), "[Errno 111] refused"),
        (TimeoutError(), "TimeoutError()"),
    ],
)
def test_a_cause_has_words(cause: Exception | None, words: str) -> None:
    error = EngineUnavailableError()
    error.__cause__ = cause
    assert cause_of(error) == words
