"""Image references by the standard grammar: ``[domain/]name[:tag][@digest]``. Nothing is guessed beyond Docker's rule.

Docker's rule: the part before the first slash is a registry only if it holds a dot or a colon, or is ``localhost``.
"""

import re

from msgspec import Struct

MAX_IMAGE_CHARS = 512

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])"
_REFERENCE = re.compile(
    rf"(?:(?P<domain>{_HOST}(?::[0-9]{{1,5}})?)/)?"
    rf"(?P<name>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class ImageReference(Struct, frozen=True, kw_only=True):
    """A parsed reference. ``domain`` is empty for the engine's default registry; ``tag`` is set unless a digest is."""

    domain: str
    name: str
    tag: str
    digest: str

    @property
    def repository(self) -> str:
        return f"{self.domain}/{self.name}" if self.domain else self.name

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def parse_image(text: str) -> ImageReference | None:
    """*text* as a reference, or None if it is not one. A missing tag is ``latest``, unless a digest is given."""
    match = _REFERENCE.fullmatch(text) if len(text) <= MAX_IMAGE_CHARS else None
    if match is None:
        return None
    domain, name = match["domain"] or "", match["name"]
    if domain and not (set(".:[") & set(domain)) and domain != "localhost":
        domain, name = "", f"{domain}/{name}"
        if not re.fullmatch(rf"{_COMPONENT}(?:/{_COMPONENT})*", name):
            return None
    if not domain and name == "sha256":  # the engine would take sha256:… for the id of an image that is here
        return None
    digest = match["digest"] or ""
    return ImageReference(
        domain=domain, name=name, tag=match["tag"] or ("" if digest else "latest"), digest=digest
    )
