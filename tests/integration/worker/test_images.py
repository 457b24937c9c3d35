"""Images are pulled when they are missing, once at a time, and a failure says what the caller may know.

The registry is a small one of the test's own, on the loopback, which the engine trusts without TLS.
"""

import asyncio
import gzip
import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from common.models import CallStatus, Detail
from common.settings import Settings
from tests.integration.worker.bench import Bench, free_port
from tests.polling import eventually
from tests.shell_image import SHELL_IMAGE, derived_image
from worker.containers.docker import DockerDriver
from worker.containers.driver import FailedForNowError, Image, RefusedError
from worker.containers.images import Images
from worker.containers.pulled import PulledImages

AWAY_PORT = free_port()  # nothing listens there
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """Serves one image of one file under every name; names in ``denied`` ask for a login, ``missing`` has nothing."""

    def __init__(self, layer_bytes: int = 8) -> None:
        self.port = free_port()
        self.manifests = 0
        self.requests = 0
        layer_tar = _tar(secrets.token_bytes(layer_bytes))
        layer = gzip.compress(layer_tar)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer_tar)]},
            }
        ).encode()
        self._blobs = {_digest(blob): blob for blob in (layer, config)}
        self._manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {
                    "mediaType": "application/vnd.docker.container.image.v1+json",
                    "size": len(config),
                    "digest": _digest(config),
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                        "size": len(layer),
                        "digest": _digest(layer),
                    }
                ],
            }
        ).encode()

    def image(self, name: str) -> str:
        return f"127.0.0.1:{self.port}/{name}:1"

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path
        self.requests += 1
        if "denied" in path:
            error = {"errors": [{"code": "DENIED", "message": "secret of the registry"}]}
            return web.json_response(error, status=403)
        if "/manifests/" in path and "missing" not in path:
            self.manifests += request.method == "GET"
            digest = {"Docker-Content-Digest": _digest(self._manifest)}
            return web.Response(body=self._manifest, content_type=MANIFEST, headers=digest)
        blob = self._blobs.get(path.rpartition("/")[2])
        if blob is not None:
            return web.Response(body=blob)
        if path == "/v2/":
            return web.json_response({})
        unknown = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
        return web.json_response(unknown, status=404)


def _tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("file")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with served(Registry()) as registry:
        yield registry


@asynccontextmanager
async def served(registry: Registry) -> AsyncIterator[Registry]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", registry.port).start()
    yield registry
    await runner.cleanup()


@pytest.fixture
async def images(docker: str, registry: Registry, tmp_path: Path) -> AsyncIterator[Images]:
    settings = Settings(
        data_dir=str(tmp_path), registries=f"127.0.0.1:{registry.port}, 127.0.0.1:{AWAY_PORT}"
    )
    async with DockerDriver.open(settings) as driver:
        images = Images(driver, settings)
        yield images
        await images.aclose()


async def test_a_missing_image_is_pulled_once_for_all_who_wait(images: Images, registry: Registry) -> None:
    name = registry.image("ns/present")
    try:
        found = await asyncio.gather(*(images.ensure(name) for _ in range(5)))
        assert {image.id for image in found} == {found[0].id}
        assert found[0].id.startswith("sha256:")
        assert registry.manifests == 1
        assert await images.ensure(name) == found[0]
        assert registry.manifests == 1  # it is here now: used as it is
    finally:
        await remove_image(name)


async def test_who_stops_waiting_does_not_stop_the_pull(images: Images, registry: Registry) -> None:
    name = registry.image("ns/patient")
    try:
        hasty, patient = (asyncio.create_task(images.ensure(name)) for _ in range(2))
        await asyncio.sleep(0)
        hasty.cancel()
        assert (await patient).id
    finally:
        await remove_image(name)


@pytest.mark.parametrize(
    ("name", "detail"), [("ns/missing", Detail.IMAGE_NOT_FOUND), ("ns/denied", Detail.PULL_DENIED)]
)
async def test_a_refused_pull_says_why_but_not_in_the_registrys_words(
    images: Images, registry: Registry, name: str, detail: Detail
) -> None:
    with pytest.raises(RefusedError) as caught:
        await images.ensure(registry.image(name))
    assert caught.value.detail is detail
    assert registry.image(name) in caught.value.error
    assert "secret" not in caught.value.error
    assert "manifest" not in caught.value.error


async def test_a_registry_that_is_away_fails_the_pull_for_now(images: Images) -> None:
    with pytest.raises(FailedForNowError) as caught:
        await images.ensure(f"127.0.0.1:{AWAY_PORT}/ns/away:1")
    assert caught.value.detail is Detail.REGISTRY_UNREACHABLE


async def test_an_image_without_a_command_is_bad_once_and_for_all(bench: Bench, registry: Registry) -> None:
    name = registry.image("ns/bare")
    call_id = await bench.submit("", image=name)
    try:
        async with bench.worker(registries=f"127.0.0.1:{registry.port}"):
            call = await bench.finished(call_id)
    finally:
        await remove_image(name)
    assert (call.status, call.detail, call.attempt) == (CallStatus.ERROR, Detail.START_REFUSED, 1)


async def test_a_call_runs_by_the_image_as_it_was_found(bench: Bench) -> None:
    found = await Images(bench.driver, bench.settings).ensure(SHELL_IMAGE)
    call_id = await bench.submit("sleep 30")
    async with bench.worker(drain_s=0.1):
        container = await bench.running(call_id)
        process = await asyncio.create_subprocess_exec(
            *("docker", "inspect", "--format", "{{.Config.Image}}", container.id),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    assert output.decode().strip() == found.id


class CountingDriver(DockerDriver):
    """The real one; it counts what it is asked."""

    inspections = 0

    async def inspect_image(self, reference: str) -> Image | None:
        self.inspections += 1
        return await super().inspect_image(reference)


async def test_an_image_that_was_just_seen_is_not_looked_at_again(shell_image: str) -> None:
    async with CountingDriver.open(Settings()) as driver:
        images = Images(driver, Settings())
        found = await asyncio.gather(*(images.ensure(shell_image) for _ in range(5)))
        assert await images.ensure(shell_image) == found[0]
        assert driver.inspections == 1


async def test_a_tag_that_moved_is_noticed(shell_image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.containers.images.SEEN_S", 0.05)
    images_made = derived_image("ENV A=1"), derived_image("ENV A=2")
    async with images_made[0] as name, images_made[1] as other, DockerDriver.open(Settings()) as driver:
        images = Images(driver, Settings())
        before, wanted = await images.ensure(name), await images.ensure(other)
        assert before != wanted
        assert await docker_tag(other, name) == 0

        async def is_noticed() -> bool:
            return await images.ensure(name) == wanted

        await eventually(is_noticed)
        await remove_image(before.id)


async def test_a_missing_image_is_looked_for_each_time(docker: str) -> None:
    settings = Settings(registries=f"127.0.0.1:{AWAY_PORT}")
    async with CountingDriver.open(settings) as driver:
        images = Images(driver, settings)
        for _ in range(2):
            with pytest.raises(FailedForNowError):
                await images.ensure(f"127.0.0.1:{AWAY_PORT}/ns/away:1")
        assert driver.inspections == 2


async def docker_tag(image: str, name: str) -> int:
    process = await asyncio.create_subprocess_exec("docker", "tag", image, name)
    async with asyncio.timeout(20):
        return await process.wait()


async def remove_image(name: str) -> None:
    process = await asyncio.create_subprocess_exec("docker", "rmi", name, stdout=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(20):
        assert await process.wait() == 0


async def refusal(images: Images, name: str) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await images.ensure(name)
    return caught.value


async def test_a_registry_that_is_not_listed_is_never_asked(
    docker: str, registry: Registry, tmp_path: Path
) -> None:
    settings = Settings(data_dir=str(tmp_path))
    async with DockerDriver.open(settings) as driver:
        refused = await refusal(Images(driver, settings), registry.image("ns/present"))
    assert refused.detail is Detail.IMAGE_NOT_ALLOWED
    assert registry.requests == 0


async def test_images_that_are_here_are_for_those_whom_a_setting_allows(
    images: Images, registry: Registry, shell_image: str, tmp_path: Path
) -> None:
    name, host = registry.image("ns/present"), f"127.0.0.1:{registry.port}"
    await images.ensure(name)
    try:
        async with DockerDriver.open(Settings()) as driver:
            listed = Settings(data_dir=str(tmp_path), registries=host, local_images="millrace-test/*")
            assert (await Images(driver, listed).ensure(shell_image)).id
            unlisted = Settings(data_dir=str(tmp_path), registries=host, local_images="me/*")
            refused = await refusal(Images(driver, unlisted), shell_image)
            assert refused.detail is Detail.IMAGE_NOT_ALLOWED
            assert (await Images(driver, unlisted).ensure(name)).id  # pulled by us: its registry counts
            refused = await refusal(Images(driver, Settings(data_dir=str(tmp_path))), name)
            assert refused.detail is Detail.IMAGE_NOT_ALLOWED
    finally:
        await remove_image(name)


@pytest.mark.parametrize("reference", ["sha256:" + "0" * 64, "sha256:f457fb53"])
async def test_an_id_is_no_name(images: Images, reference: str) -> None:
    assert (await refusal(images, reference)).detail is Detail.IMAGE_NOT_FOUND


async def test_an_image_that_is_too_large_does_not_stay(docker: str, tmp_path: Path) -> None:
    async with served(Registry(layer_bytes=2 * 1024 * 1024)) as large:
        settings = Settings(data_dir=str(tmp_path), registries=f"127.0.0.1:{large.port}", image_max_mb=1)
        async with DockerDriver.open(settings) as driver:
            refused = await refusal(Images(driver, settings), large.image("ns/large"))
            assert refused.detail is Detail.IMAGE_NOT_ALLOWED
            assert "larger than 1 MB" in refused.error
            assert await driver.inspect_image(large.image("ns/large")) is None


async def test_a_full_disk_costs_the_pulled_images_that_were_not_used_for_long(
    images: Images, registry: Registry, shell_image: str, tmp_path: Path
) -> None:
    old, used, new = (registry.image(f"ns/{name}") for name in ("old", "used", "new"))
    settings = Settings(
        data_dir=str(tmp_path), registries=f"127.0.0.1:{registry.port}", disk_min_free_mb=2**40
    )
    for name in (old, used):
        await images.ensure(name)
    os.utime(PulledImages(tmp_path / "pulled-images")._file(old), (0, 0))
    async with DockerDriver.open(settings) as driver:
        await Images(driver, settings).ensure(new)
        try:
            assert await driver.inspect_image(old) is None
            for name in (used, new, shell_image):
                assert await driver.inspect_image(name) is not None
        finally:
            for name in (used, new):
                await driver.remove_image(name)
