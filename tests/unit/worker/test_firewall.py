import shutil
from pathlib import Path

import pytest

from worker.containers import firewall
from worker.containers.firewall import Firewall, name_servers, rules

REJECT = "reject with icmpx type admin-prohibited"


def test_both_families_are_kept_from_the_host_and_from_the_given_networks() -> None:
    lines = [line.strip() for line in rules("br-1", ("169.254.0.0/16", "fe80::/10"), ()).splitlines()]
    assert lines[:2] == ["add table inet millrace", "delete table inet millrace"]
    assert lines.index('iifname != "br-1" accept') < lines.index(
        f"fib daddr type {{ local, broadcast, multicast }} {REJECT}"
    )
    assert f"ip daddr 169.254.0.0/16 {REJECT}" in lines
    assert f"ip6 daddr fe80::/10 {REJECT}" in lines


def test_name_servers_are_reached_on_their_port_before_anything_is_rejected() -> None:
    lines = [
        line.strip()
        for line in rules("br-1", ("169.254.0.0/16",), ("169.254.169.254", "fd00::1")).splitlines()
    ]
    accepted = [line for line in lines if line.endswith("dport 53 accept")]
    assert accepted == [
        "ip daddr 169.254.169.254 udp dport 53 accept",
        "ip daddr 169.254.169.254 tcp dport 53 accept",
        "ip6 daddr fd00::1 udp dport 53 accept",
        "ip6 daddr fd00::1 tcp dport 53 accept",
    ]
    assert lines.index(accepted[-1]) < min(number for number, line in enumerate(lines) if REJECT in line)


def test_name_servers_are_addresses_that_are_not_on_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# nameserver 9.9.9.9\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver x;flush\nnameserver ::1\n"
        "nameserver 10.0.0.2\n nameserver fd00::1 \n"
    )
    monkeypatch.setattr(firewall, "_RESOLVERS", (path, tmp_path / "missing"))
    assert name_servers() == ["10.0.0.2", "fd00::1"]


async def test_rules_are_set_again_when_the_name_servers_change_and_problems_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolv, table = tmp_path / "resolv.conf", [""]
    resolv.write_text("nameserver 10.0.0.2\n")
    (tmp_path / "br-1").mkdir()

    async def nft(*arguments: str, stdin: str = "") -> str:
        if stdin:
            table.append(stdin)
        return table[-1]

    monkeypatch.setattr(firewall, "_INTERFACES", tmp_path)
    monkeypatch.setattr(firewall, "_RESOLVERS", (resolv,))
    with monkeypatch.context() as patched:
        patched.setattr(firewall, "_nft", nft)
        guard = Firewall(allow_private=False, is_required=False)
        await guard.guard("br-1")
        await guard._set()
        assert (guard.problem, len(table)) == ("", 2)
        resolv.write_text("nameserver 10.0.0.3\n")
        await guard._set()
        assert "ip daddr 10.0.0.3 udp dport 53 accept" in table[-1]
        assert len(table) == 3
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(tmp_path / "missing"))
    await guard._set()
    assert "missing could not be started" in guard.problem
