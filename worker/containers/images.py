"""Images: makes sure that an image is here, pulling it when it is missing, each image by one pull at a time.

An image that is here is used as it is: a tag is not refreshed. What a registry or the engine says goes to the worker's
log; the caller learns a code and the image's name, no more (an image's name can point anywhere).
"""

import asyncio
from contextlib import suppress

from common.errors import EngineUnavailableError
from common.models import Detail, parse_image
from common.telemetry.logs import get_logger
from worker.containers.driver import ContainerDriver, FailedForNowError, Image, PullRefusedError, RefusedError

PULL_MAX_S = 600.0
SEEN_S = 1.0  # how long an image counts as seen: a tag that moved is noticed by calls a second later

_ERRORS = {
    Detail.IMAGE_NOT_FOUND: "Image {} was not found",
    Detail.PULL_DENIED: "Image {} does not exist, or access to it is denied",
    Detail.PULL_FAILED: "Image {} could not be pulled",
}
_DENIED = ("denied", "unauthorized", "authentication required", "forbidden")
_NOT_FOUND = ("not found", "manifest unknown", "no such image", "does not exist", "name unknown")

log = get_logger("images")


class Images:
    """The images of one engine."""

    def __init__(self, driver: ContainerDriver) -> None:
        self._driver = driver
        self._searches: dict[str, asyncio.Task[Image]] = {}
        self._seen: dict[str, Image] = {}  # for SEEN_S each

    async def ensure(self, reference: str) -> Image:
        """The image as it is on the engine now, or was within the last SEEN_S seconds. A missing one is asked for anew.

        Raises RefusedError if it does not exist or is denied, FailedForNowError for every other failure of a pull.

        Safe to cancel: a pull goes on for whoever else waits for it, and ends with ``aclose``.
        """
        parsed = parse_image(reference)
        if parsed is None:
            raise _refused(Detail.IMAGE_NOT_FOUND, reference)
        name = f"{parsed.repository}@{parsed.digest}" if parsed.digest else str(parsed)
        seen = self._seen.get(name)
        if seen is not None:
            return seen
        search = self._searches.get(name)
        if search is None:
            search = self._searches[name] = asyncio.create_task(self._find(name), name=f"image {name}")
            search.add_done_callback(lambda done: self._forget(name, done))
        return await asyncio.shield(search)

    async def aclose(self) -> None:
        """End all pulls."""
        searches = list(self._searches.values())
        for search in searches:
            search.cancel()
        if searches:
            await asyncio.wait(searches)

    async def _find(self, name: str) -> Image:
        image = await self._driver.inspect_image(name) or await self._pull(name)
        self._seen[name] = image
        asyncio.get_running_loop().call_later(SEEN_S, self._seen.pop, name)
        return image

    async def _pull(self, name: str) -> Image:
        log.info("pulling image", image=name)
        try:
            async with asyncio.timeout(PULL_MAX_S):
                await self._driver.pull_image(name)
        except TimeoutError as error:
            log.warning("image not pulled in time", image=name, limit_s=PULL_MAX_S)
            raise _refused(Detail.PULL_FAILED, name) from error
        except PullRefusedError as error:
            log.warning("image not pulled", image=name, answer=str(error))
            raise _refused(classify_pull(str(error)), name) from error
        image = await self._driver.inspect_image(name)
        if image is None:
            raise EngineUnavailableError("Container engine broke a pull off")
        return image

    def _forget(self, name: str, search: asyncio.Task[Image]) -> None:
        del self._searches[name]
        with suppress(asyncio.CancelledError, RefusedError, EngineUnavailableError):
            search.result()  # who waits gets it too; nobody may wait any more


def classify_pull(answer: str) -> Detail:
    """The code for a refused pull. Registries have no common codes: only the words tell."""
    words = answer.lower()
    if any(word in words for word in _DENIED):
        return Detail.PULL_DENIED
    if any(word in words for word in _NOT_FOUND):
        return Detail.IMAGE_NOT_FOUND
    return Detail.PULL_FAILED


def _refused(detail: Detail, name: str) -> RefusedError | FailedForNowError:
    kind = FailedForNowError if detail is Detail.PULL_FAILED else RefusedError
    return kind(detail, _ERRORS[detail].format(name))
