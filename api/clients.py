"""Client: on whose account a request is, for every limit that has shares (shares.py, rate_limit.py).

access.py finds it out before any handler runs. Decides nothing about what the client may do.
"""

import ipaddress
from typing import NamedTuple

from aiohttp import web

from common.models import Token

_IPV6_CLIENT_BITS = 64  # what one customer is given: single addresses are theirs to make up


class Client(NamedTuple):
    """``name`` is the same for all requests of one token or, where no valid token came along, of one address.

    ``is_management``: the request may use what limits keep for management. ``is_anonymous``: it came without a token
    that is good for it although tokens exist, so it can only be a call of a public route.
    """

    name: str
    is_management: bool = False
    is_anonymous: bool = False


CLIENT: web.RequestKey[Client] = web.RequestKey("client")


def name_of(token: Token | None, address: str | None) -> str:
    """The name of the client with this token, or of the one at this address."""
    return f"token {token.id}" if token else f"address {client_address(address or '')}"


def client_address(address: str) -> str:
    """What stands for one client: its address, of IPv6 the network that it is in."""
    try:
        ip = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip), _IPV6_CLIENT_BITS), strict=False))
