"""Firewall: keeps functions from this machine, from link-local addresses and, unless allowed, from private networks.

The rules are an nftables table of our own. Its chain sees packets from the bridge of the function containers before any
address is translated. What it rejects stays rejected whatever other rules say: neither Docker's rules nor the
operator's can undo it, and flushing those does not touch it. Replies to connections that this machine opened to a
container pass. So do questions to this machine's name servers: Docker's resolver asks them from inside the container.

All workers of a machine share the table, which is written as one transaction: writing it again changes nothing.
"""

import asyncio
import ipaddress
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from common.errors import EngineUnavailableError
from common.telemetry.logs import get_logger

TABLE = "millrace"
RECHECK_S = 5.0

_NFT_S = 10.0
_INTERFACES = Path("/sys/class/net")
_RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_NAME_SERVER = re.compile(r"^\s*nameserver\s+(\S+)", re.MULTILINE)
_BRIDGE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_LINK_LOCAL = ("169.254.0.0/16", "fe80::/10")
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")

log = get_logger("firewall")


class FirewallError(Exception):
    """The rules can't be set here. The text says why."""


class Firewall:
    """The rules of one machine. ``problem`` says why they are not set; it is empty while they are.

    ``guard`` sets them for a bridge, ``run`` sets them again if they are removed or changed, until it is cancelled.
    """

    def __init__(self, *, allow_private: bool, is_required: bool) -> None:
        self._rejected = (*_LINK_LOCAL, *(() if allow_private else _PRIVATE))
        self._is_required = is_required
        self._bridge = ""
        self._wanted = ""  # the rules that were set last, and how nft lists them
        self._listing = ""
        self._turn = asyncio.Lock()
        self.problem = "the network of the functions was not set up yet"

    async def guard(self, bridge: str) -> None:
        """Set the rules for what comes in from *bridge*, unless they were set for it before.

        Raises EngineUnavailableError if they are required and can't be set.
        """
        if bridge != self._bridge or self.problem:
            self._bridge = bridge
            await self._set()
        if self.problem and self._is_required:
            raise EngineUnavailableError(
                f"MILLRACE_NETWORK_FIREWALL=required, and no firewall rules can be set: {self.problem}"
            )

    async def run(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_S)
            if self._bridge:
                await self._set()

    async def _set(self) -> None:
        async with self._turn:
            try:
                reason = await self._ensure()
            except FirewallError as error:
                self._listing = ""
                if str(error) != self.problem:
                    log.warning(
                        "functions can reach this machine: no firewall rules are set", cause=str(error)
                    )
                self.problem = str(error)
                return
            if self.problem:
                log.info("firewall rules are set: functions can't reach this machine", bridge=self._bridge)
            elif reason:
                log.warning("firewall rules are set again", reason=reason, bridge=self._bridge)
            self.problem = ""

    async def _ensure(self) -> str:
        """Set the rules unless they are as they should be. Why that had to be done, or empty. Raises FirewallError."""
        if not _BRIDGE.fullmatch(self._bridge) or not (_INTERFACES / self._bridge).exists():
            raise FirewallError(f"the engine's bridge {self._bridge!r} is not an interface of this machine")
        wanted = rules(self._bridge, self._rejected, await asyncio.to_thread(name_servers))
        if self._listing and wanted == self._wanted and await _listing() == self._listing:
            return ""
        reason = (
            "they were removed or changed"
            if wanted == self._wanted
            else "the bridge or the name servers changed"
        )
        await _nft("-f", "-", stdin=wanted)
        self._wanted, self._listing = wanted, await _listing()
        return reason


def rules(bridge: str, rejected: Sequence[str], servers: Sequence[str]) -> str:
    """The table, for `nft -f`: whatever it was before, it is this afterwards."""
    accepted = [
        f"{_address(server)} {protocol} dport 53 accept" for server in servers for protocol in ("udp", "tcp")
    ]
    refused = [f"{_address(network)} reject with icmpx type admin-prohibited" for network in rejected]
    lines = (
        f'iifname != "{bridge}" accept',
        "ct state established,related accept",
        "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept",
        *accepted,
        "fib daddr type { local, broadcast, multicast } reject with icmpx type admin-prohibited",
        *refused,
    )
    chain = "type filter hook prerouting priority mangle; policy accept;"
    body = "\n".join(f"        {line}" for line in (chain, *lines))
    return (
        f"add table inet {TABLE}\ndelete table inet {TABLE}\n"
        f"table inet {TABLE} {{\n    chain from_functions {{\n{body}\n    }}\n}}\n"
    )


def name_servers() -> list[str]:
    """The name servers of this machine that are not on its own loopback. Reads files."""
    found: dict[str, None] = {}
    for path in _RESOLVERS:
        with suppress(OSError):
            for name in _NAME_SERVER.findall(path.read_text(errors="replace")):
                with suppress(ValueError):
                    if not ipaddress.ip_address(name).is_loopback:
                        found[name] = None
    return list(found)


def _address(network: str) -> str:
    return f"{'ip6' if ipaddress.ip_network(network).version == 6 else 'ip'} daddr {network}"


async def _listing() -> str:
    """The table as it is now; empty if there is none."""
    try:
        return await _nft("--stateless", "list", "table", "inet", TABLE)
    except FirewallError:
        return ""


async def _nft(*arguments: str, stdin: str = "") -> str:
    """What nft prints. Raises FirewallError with its words if it fails. Safe to cancel: a table is set whole or not."""
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        raise FirewallError("nft is not installed (Debian, Ubuntu: apt-get install nftables)")
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdin=pipe, stdout=pipe, stderr=pipe
        )
    except OSError as error:
        raise FirewallError(f"{program} could not be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(_NFT_S):
            output, errors = await process.communicate(stdin.encode())
    except TimeoutError as error:
        raise FirewallError(f"nft did not end within {_NFT_S:g} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # it has just ended
                process.kill()
    if process.returncode:
        raise FirewallError(_reason(errors.decode(errors="replace")))
    return output.decode(errors="replace")


def _reason(errors: str) -> str:
    if "not permitted" in errors:
        return "nft needs the right to change the network (root, or CAP_NET_ADMIN)"
    return f"nft failed: {errors.strip().splitlines()[0] if errors.strip() else 'it said nothing'}"
