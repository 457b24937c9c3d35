"""Addresses of servers, as URLs: taken apart strictly, so that a wrong one is refused before anything connects.

No message shows a URL or a part of it that may hold a password. Each says what is wrong and what to write instead.
"""

import re
from collections.abc import Collection, Mapping
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

from common.errors import SettingsError

_ENCODE = "encode special characters in user and password, as %40 for @, %2F for /, %23 for # or %25 for %"


class Address(Struct, frozen=True, kw_only=True):
    """A server's address. ``hosts`` are names with ports, the port None where none is given; decoded all of it."""

    variable: str
    scheme: str
    user: str | None
    password: str | None
    hosts: tuple[tuple[str, int | None], ...]
    path: str
    options: Mapping[str, str]

    def wrong(self, what: str) -> SettingsError:
        """The error for this address."""
        return _wrong(self.variable, what)


def parse_address(
    variable: str, url: str, *, schemes: Collection[str], options: Collection[str], several: bool = False
) -> Address:
    """The parts of *url*, the value of *variable*: its scheme one of *schemes*, its options among *options*.

    Only with *several* may it name more than one host. Raises SettingsError.
    """
    parts = _split(variable, url, schemes)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    named = parts.netloc.rpartition("@")[2]
    hosts = tuple(_host(variable, host) for host in named.split(",")) if named else ()
    if len(hosts) > 1 and not several:
        raise _wrong(variable, "it names more than one host")
    return Address(
        variable=variable,
        scheme=parts.scheme,
        user=_decoded(variable, user) or None,
        password=_decoded(variable, password) or None,
        hosts=hosts,
        path=_decoded(variable, parts.path),
        options=_options(variable, parts.query, options),
    )


def _split(variable: str, url: str, schemes: Collection[str]) -> SplitResult:
    scheme, found, _ = url.partition("://")
    if not found or scheme.lower() not in schemes:
        given = f"it begins with {scheme}://" if found and scheme.isalnum() else "it is no URL"
        raise _wrong(variable, f"{given}: it must begin with {' or '.join(f'{each}://' for each in schemes)}")
    if re.search(r"[\x00-\x20\x7f]", url):
        raise _wrong(variable, "it holds a space or a control character: write it as %20, or remove it")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong(variable, f"it is no URL: {_ENCODE}") from None
    # An unencoded password ends the host too early: what is left of it is in one of these.
    if "#" in url or parts.netloc.count("@") > 1 or "@" in parts.path + parts.query:
        raise _wrong(variable, f"user, password and host can't be told apart: {_ENCODE}")
    return parts


def _host(variable: str, text: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = unquote(parts.hostname or ""), parts.port
    except ValueError:
        host, port = "", None
    # What follows a colon may be a password whose slash was taken for the end of the host: it is not shown.
    if not host or port == 0 or (port is None and text.endswith(":")):
        raise _wrong(
            variable, f"after the host comes a port, a number from 1 to 65535, or nothing; else {_ENCODE}"
        )
    return host, port


def _options(variable: str, query: str, allowed: Collection[str]) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _wrong(variable, f"what follows the ? must be options, as name=value; else {_ENCODE}") from None
    found = dict(pairs)
    if unknown := sorted(found.keys() - set(allowed)):
        choices = ", ".join(allowed)
        raise _wrong(variable, f"the option {unknown[0]!r} may not be set (only {choices} may)")
    if len(found) < len(pairs):
        raise _wrong(variable, "an option is given twice")
    return found


def _decoded(variable: str, text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise _wrong(variable, f"after a % come two hexadecimal digits: {_ENCODE}")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _wrong(variable, f"it holds bytes that are no UTF-8: {_ENCODE}") from None


def _wrong(variable: str, what: str) -> SettingsError:
    return SettingsError(f"{variable}: {what}", field=variable)
