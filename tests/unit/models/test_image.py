import pytest

from common.models import parse_image

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "domain", "name", "tag", "digest"),
    [
        ("fnproject/hello", "", "fnproject/hello", "latest", ""),
        ("my.registry/hello:v1", "my.registry", "hello", "v1", ""),
        ("mongo", "", "mongo", "latest", ""),
        ("user/my.image", "", "user/my.image", "latest", ""),
        ("quay.example:8080/fnproject/hello:v2", "quay.example:8080", "fnproject/hello", "v2", ""),
        ("localhost:5000/x", "localhost:5000", "x", "latest", ""),
        ("localhost/x", "localhost", "x", "latest", ""),
        ("a/b/c/d:1", "", "a/b/c/d", "1", ""),
        (f"x@{DIGEST}", "", "x", "", DIGEST),
        (f"x:1@{DIGEST}", "", "x", "1", DIGEST),
    ],
)
def test_references(text: str, domain: str, name: str, tag: str, digest: str) -> None:
    """Fn's U-39."""
    image = parse_image(text)
    assert image is not None
    assert (image.domain, image.name, image.tag, image.digest) == (domain, name, tag, digest)
    assert parse_image(str(image)) == image


@pytest.mark.parametrize(
    "text",
    ["", "UPPER/x", "a b", "-x", "x:", "x@sha256:12", "../x", "a//b", "/x", "x/", "x\n", "x" * 513, "$(id)"],
)
def test_what_is_no_reference(text: str) -> None:
    assert parse_image(text) is None
