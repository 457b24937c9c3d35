"""Which volumes an image may declare: few enough to look at each folder on the way to them."""

import pytest

from worker.containers.driver import Image, RefusedError
from worker.containers.hostconfig import MAX_VOLUME_DEPTH, volume_paths


def test_a_volume_is_as_deep_as_it_may_be() -> None:
    path = "/d" * MAX_VOLUME_DEPTH
    assert volume_paths(Image(id="i", volumes=(path, f"{path}/../d"))) == [path]


def test_a_volume_that_is_too_deep_is_refused() -> None:
    with pytest.raises(RefusedError, match="17 folders deep, the most is 16"):
        volume_paths(Image(id="i", volumes=("/d" * (MAX_VOLUME_DEPTH + 1),)))
