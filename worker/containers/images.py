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
        self._pulls: dict[str, asyncio.Task[Image]] = {}

    async def ensure(self, reference: str) -> Image:
        """The image as it is on the engine now.

        Raises RefusedError if it does not exist or is denied, FailedForNowError for every other failure of a pull.

        Safe to cancel: a pull goes on for whoever else waits for it, and ends with ``aclose``.
        """
        parsed = parse_image(reference)
        if parsed is None:
            raise _refused(Detail.IMAGE_NOT_FOUND, reference)
        name = f"{parsed.repository}@{parsed.digest}" if parsed.digest else str(parsed)
        image = await self._driver.inspect_image(name)
        if image is not None:
            return image
        pull = self._pulls.get(name)
        if pull is None:
            pull = self._pulls[name] = asyncio.create_task(self._pull(name), name=f"pull {name}")
            pull.add_done_callback(lambda done: self._forget(name, done))
        return await asyncio.shield(pull)

    async def aclose(self) -> None:
        """End all pulls."""
        pulls = list(self._pulls.values())
        for pull in pulls:
            pull.cancel()
        if pulls:
            await asyncio.wait(pulls)

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

    def _forget(self, name: str, pull: asyncio.Task[Image]) -> None:
        del self._pulls[name]
        with suppress(asyncio.CancelledError, RefusedError, EngineUnavailableError):
            pull.result()  # who waits gets it too; nobody may wait any more


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
