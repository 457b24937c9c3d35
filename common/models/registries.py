"""Which images may be used: from which registries they may be pulled, and which of those that are here already.

A registry is allowed if it is listed by its name, with its port if it has one. ``*.example.com`` lists all hosts below
example.com, and ``*`` all that can be names on the internet; neither lists addresses, ports, or names such as
``localhost``: those must be listed as they are.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from common.models.image import ImageReference

DOCKER_HUB = "docker.io"

_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_PUBLIC_NAME = re.compile(r"(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]*")
_LOCAL_DOMAINS = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa", ".lan")


def listed(setting: str) -> tuple[str, ...]:
    """The entries of a comma-separated setting."""
    return tuple(entry for part in setting.split(",") if (entry := part.strip()))


def registry_of(image: ImageReference) -> str:
    """The registry that the engine would ask for *image*, in lower case; Docker Hub under one name."""
    host = image.domain.lower()
    return DOCKER_HUB if not host or host in _HUB_HOSTS else host


def may_pull(image: ImageReference, registries: Sequence[str]) -> bool:
    """Whether the registry of *image* is one of *registries*."""
    host = registry_of(image)
    return any(_lists(entry.lower(), host) for entry in registries)


def may_use_local(image: ImageReference, patterns: Sequence[str]) -> bool:
    """Whether one of *patterns*, in which ``*`` stands for any text, matches the name, with its tag or without."""
    return any(fnmatchcase(name, pattern) for name in (image.repository, str(image)) for pattern in patterns)


def _lists(entry: str, host: str) -> bool:
    if entry in _HUB_HOSTS:
        return host == DOCKER_HUB
    if not entry.startswith("*"):
        return entry == host
    is_public = _PUBLIC_NAME.fullmatch(host) is not None and not host.endswith(_LOCAL_DOMAINS)
    return is_public and host.endswith(entry[1:])
