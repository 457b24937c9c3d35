"""What is this machine's alone: its addresses, and the names under which its own programs ask."""

import ipaddress
import re

LOCAL = r"(?:localhost|127\.0\.0\.1|\[::1\])"
LOCAL_HOST = re.compile(rf"{LOCAL}(?::(?P<port>[0-9]{{1,5}}))?", re.IGNORECASE)  # a Host header


def is_loopback(address: str) -> bool:
    """Whether *address* can only be this machine's; False for what is no IP address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    # A socket that takes both kinds shows a client of IPv4 as one of IPv6.
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
