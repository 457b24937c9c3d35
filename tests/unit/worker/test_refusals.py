"""Whose fault a refused start is: a call ends for good by its image's, and is tried again after the engine's."""

import pytest

from worker.containers.refusals import is_images_fault

OCI = "failed to create task for container: failed to create shim task: OCI runtime create failed: "
INIT = f"{OCI}runc create failed: unable to start container process: "


@pytest.mark.parametrize(
    "answer",
    [
        f'{INIT}exec: "nosuch": executable file not found in $PATH: unknown',
        f'{INIT}exec: "/app/run": permission denied: unknown',
        (
            f'{INIT}error during container init: error mounting "v" to rootfs at "/x": create mountpoint for /x mount: '
            "mkdirat /var/lib/docker/rootfs/x: read-only file system: unknown"
        ),
        f"{INIT}mkdir /etc/passwd: not a directory: unknown",
        "unable to find user nosuch: no matching entries in passwd file",
        "exec /run.sh: exec format error",
    ],
)
def test_what_the_image_asks_for_is_its_fault(answer: str) -> None:
    assert is_images_fault(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "mkdir /var/lib/docker/overlay2/0a1b-init: read-only file system",
        (
            f"{OCI}unable to retrieve OCI runtime error (open /run/containerd/log.json: no such file or directory): "
            'exec: "runc": executable file not found in $PATH: unknown'
        ),
        f'{INIT}exec: "/sbin/docker-init": stat /sbin/docker-init: no such file or directory: unknown',
        f"{OCI}fork/exec /usr/bin/runc: exec format error: unknown",
        'failed to start shim: exec: "containerd-shim-runc-v2": executable file not found in $PATH',
    ],
)
def test_an_engine_whose_disk_or_programs_are_broken_ends_no_call(answer: str) -> None:
    assert not is_images_fault(answer)
