"""Images: makes sure that an image is here, pulling it when it is missing, each image by one pull at a time.

An image that is here is used as it is: a tag is not refreshed. Which registries are asked, and which images that are
here but were not pulled by a worker may be used, is said by settings. Pulled images have a largest size; while there is
little room on the disk, those that were not used for longest are removed. What others put on the engine never is.

The engine is asked without credentials: whatever was pulled, every app could pull. What a registry or the engine says
goes to the worker's log. The call gets a code and a text of ours, of which the api shows non-admins less.
"""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from common.errors import EngineUnavailableError
from common.models import Detail, ImageReference, listed, may_pull, may_use_local, parse_image
from common.settings import Settings
from common.telemetry.logs import get_logger
from worker.containers.driver import (
    ContainerDriver,
    FailedForNowError,
    Image,
    ImageTooLargeError,
    PullRefusedError,
    RefusedError,
)
from worker.containers.pulled import PulledImages
from worker.containers.refusals import classify_pull

PULL_MAX_S = 600.0
_MB = 1024 * 1024
SEEN_S = 1.0  # how long an image counts as seen: a tag that moved is noticed by calls a second later

KEEP_S = 600.0  # how long a pulled image stays after its last use, however full the disk is

_ERRORS = {
    Detail.IMAGE_NOT_FOUND: "Image {} was not found",
    Detail.PULL_DENIED: "Image {} does not exist, or access to it is denied",
    Detail.REGISTRY_UNKNOWN: "Image {} could not be pulled: its registry's name is not known",
    Detail.REGISTRY_UNREACHABLE: "Image {} could not be pulled: its registry can't be reached",
    Detail.REGISTRY_TIMEOUT: "Image {} could not be pulled: its registry did not answer in time",
    Detail.PULL_FAILED: "Image {} could not be pulled",
}
_FINAL = frozenset({Detail.IMAGE_NOT_FOUND, Detail.PULL_DENIED})  # trying again is of no use

log = get_logger("images")


class Images:
    """The images of one engine."""

    def __init__(self, driver: ContainerDriver, settings: Settings) -> None:
        self._driver = driver
        self._registries = listed(settings.registries)
        self._local = listed(settings.local_images)
        self._max_bytes = settings.image_max_mb * _MB
        self._min_free_bytes = settings.disk_min_free_mb * _MB
        self._pulled = PulledImages(Path(settings.data_dir) / "pulled-images")
        self._searches: dict[str, asyncio.Task[Image]] = {}
        self._seen: dict[str, Image] = {}  # for SEEN_S each

    async def ensure(self, reference: str) -> Image:
        """The image as it is on the engine now, or was within the last SEEN_S seconds. A missing one is asked for anew.

        Raises RefusedError if it does not exist, is denied, not allowed or too large, FailedForNowError for every other
        failure of a pull.

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
            search = self._searches[name] = asyncio.create_task(
                self._find(parsed, name), name=f"image {name}"
            )
            search.add_done_callback(lambda done: self._forget(name, done))
        return await asyncio.shield(search)

    async def aclose(self) -> None:
        """End all pulls."""
        searches = list(self._searches.values())
        for search in searches:
            search.cancel()
        if searches:
            await asyncio.wait(searches)

    async def _find(self, reference: ImageReference, name: str) -> Image:
        image = await self._driver.inspect_image(name)
        if image is None:
            image = await self._pull(reference, name)
        else:
            await self._check_local(reference, name, image)
        self._seen[name] = image
        asyncio.get_running_loop().call_later(SEEN_S, self._seen.pop, name)
        return image

    async def _check_local(self, reference: ImageReference, name: str, image: Image) -> None:
        """Raise RefusedError unless this image, which is here, may be used."""
        if await asyncio.to_thread(self._pulled.was_pulled, name, image.id):
            self._check_registry(reference, name)
        elif not may_use_local(reference, self._local):
            log.warning("image is here, but MILLRACE_LOCAL_IMAGES does not list it", image=name)
            raise _not_allowed(name)

    def _check_registry(self, reference: ImageReference, name: str) -> None:
        if not may_pull(reference, self._registries):
            log.warning("image not pulled: MILLRACE_REGISTRIES does not list its registry", image=name)
            raise _not_allowed(name)

    async def _pull(self, reference: ImageReference, name: str) -> Image:
        self._check_registry(reference, name)
        await self._make_room()
        log.info("pulling image", image=name)
        try:
            async with asyncio.timeout(PULL_MAX_S):
                await self._driver.pull_image(name, self._max_bytes)
        except ImageTooLargeError as error:
            raise self._too_large(name) from error
        except TimeoutError as error:
            log.warning("image not pulled in time", image=name, limit_s=PULL_MAX_S)
            raise _refused(Detail.REGISTRY_TIMEOUT, name) from error
        except PullRefusedError as error:
            log.warning("image not pulled", image=name, answer=str(error))
            raise _refused(classify_pull(str(error)), name) from error
        image = await self._driver.inspect_image(name)
        if image is None:
            raise EngineUnavailableError("Container engine broke a pull off")
        if image.size_bytes > self._max_bytes:
            await self._driver.remove_image(name)
            raise self._too_large(name)
        await asyncio.to_thread(self._pulled.add, name, image.id)
        await self._make_room()
        return image

    def _too_large(self, name: str) -> RefusedError:
        max_mb = self._max_bytes // _MB
        log.warning("image not kept: it is larger than MILLRACE_IMAGE_MAX_MB", image=name, max_mb=max_mb)
        return RefusedError(
            Detail.IMAGE_NOT_ALLOWED, f"Image {name} is larger than {max_mb} MB (MILLRACE_IMAGE_MAX_MB)"
        )

    async def _make_room(self) -> None:
        """While the disk has too little room, remove pulled images that were not used for KEEP_S, the oldest first."""
        if not self._min_free_bytes or not await self._lacks_room():
            return
        for pulled in await asyncio.to_thread(self._pulled.unused_since, time.time() - KEEP_S):
            image = await self._driver.inspect_image(pulled.name)
            if image is not None and image.id == pulled.id:
                if not await self._driver.remove_image(pulled.name):
                    continue  # a container uses it
                log.info("image removed, as there is little room on the disk", image=pulled.name)
            await asyncio.to_thread(self._pulled.forget, pulled.name)
            if not await self._lacks_room():
                return
        log.warning(
            "little room on the disk, and no pulled image to remove", min_free_mb=self._min_free_bytes // _MB
        )

    async def _lacks_room(self) -> bool:
        free_bytes = await self._driver.disk_free_bytes()
        return free_bytes is not None and free_bytes < self._min_free_bytes

    def _forget(self, name: str, search: asyncio.Task[Image]) -> None:
        del self._searches[name]
        with suppress(asyncio.CancelledError, RefusedError, EngineUnavailableError):
            search.result()  # who waits gets it too; nobody may wait any more


def _not_allowed(name: str) -> RefusedError:
    text = f"Image {name} is not allowed: see MILLRACE_REGISTRIES and MILLRACE_LOCAL_IMAGES"
    return RefusedError(Detail.IMAGE_NOT_ALLOWED, text)


def _refused(detail: Detail, name: str) -> RefusedError | FailedForNowError:
    text = _ERRORS[detail].format(name)
    return RefusedError(detail, text) if detail in _FINAL else FailedForNowError(detail, text)
