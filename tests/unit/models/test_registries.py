"""Which registries a setting lists, and which local images."""

import pytest

from common.models import listed, may_pull, may_use_local, parse_image


@pytest.mark.parametrize(
    ("registries", "image", "allowed"),
    [
        ("docker.io", "me/upper:1", True),
        ("docker.io", "docker.io/me/upper:1", True),
        ("docker.io", "index.docker.io/me/upper", True),
        ("docker.io", "docker.io:5000/me/upper", False),
        ("docker.io", "127.0.0.1:2375/x", False),
        ("", "me/upper", False),
        ("127.0.0.1:5000", "127.0.0.1:5000/x", True),
        ("127.0.0.1:5000", "127.0.0.1:2375/x", False),
        ("*", "registry.example.com/x", True),
        ("*", "registry.example.com:5000/x", False),
        ("*", "10.0.0.1/x", False),
        ("*", "127.1/x", False),
        ("*", "[::1]/x", False),
        ("*", "localhost/x", False),
        ("*", "box:5000/x", False),
        ("*", "a.localhost/x", False),
        ("*", "metadata.google.internal/x", False),
        ("*.example.com , docker.io", "a.example.com/x", True),
        ("*.example.com", "a.example.com.evil.org/x", False),
        ("*.example.com", "example.com/x", False),
        ("*.1", "10.0.0.1/x", False),
        ("localhost", "localhost/x", True),
        ("A.Example.com", "a.example.COM/x", True),
    ],
)
def test_registries(registries: str, image: str, allowed: bool) -> None:
    parsed = parse_image(image)
    assert parsed is not None
    assert may_pull(parsed, listed(registries)) is allowed


@pytest.mark.parametrize(
    ("patterns", "allowed"),
    [("*", True), ("me/*", True), ("me/upper:1", True), ("you/*,me/lower", False), ("", False)],
)
def test_local_images(patterns: str, allowed: bool) -> None:
    parsed = parse_image("me/upper:1")
    assert parsed is not None
    assert may_use_local(parsed, listed(patterns)) is allowed
