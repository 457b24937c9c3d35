"""Variables that Kubernetes sets in every container of a namespace for each Service, in the style of Docker links.

A Service named ``millrace``, or ``millrace-…``, sets variables that begin as our settings do. They are no settings.
Both name and value must have the shape that Kubernetes gives them: a misspelt setting is still refused.
"""

import re
from ipaddress import ip_address

_PROTOCOL = "TCP|UDP|SCTP"
_URL = re.compile(rf"(?i:{_PROTOCOL})://(.+):(\d{{1,5}})")
_SHAPES = (
    (re.compile(r"([A-Z0-9_]+_)?SERVICE_HOST"), "host"),
    (re.compile(r"([A-Z0-9_]+_)?SERVICE_PORT(_[A-Z0-9_]+)?"), "port"),
    (re.compile(r"([A-Z0-9_]+_)?PORT"), "url"),
    (re.compile(rf"([A-Z0-9_]+_)?PORT_\d{{1,5}}_({_PROTOCOL})"), "url"),
    (re.compile(rf"([A-Z0-9_]+_)?PORT_\d{{1,5}}_({_PROTOCOL})_PROTO"), "protocol"),
    (re.compile(rf"([A-Z0-9_]+_)?PORT_\d{{1,5}}_({_PROTOCOL})_PORT"), "port"),
    (re.compile(rf"([A-Z0-9_]+_)?PORT_\d{{1,5}}_({_PROTOCOL})_ADDR"), "host"),
)


def is_service_link(name: str, value: str) -> bool:
    """Tell whether Kubernetes set this variable; *name* is without our prefix."""
    return any(shape.fullmatch(name) and _is(kind, value) for shape, kind in _SHAPES)


def _is(kind: str, value: str) -> bool:
    match kind:
        case "host":
            return value == "None" or _is_address(value)
        case "port":
            return re.fullmatch(r"\d{1,5}", value) is not None
        case "protocol":
            return value.upper() in _PROTOCOL.split("|")
    found = _URL.fullmatch(value)
    return found is not None and _is_address(found[1].strip("[]"))


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
