from pathlib import Path

import pytest

from worker.containers import firewall
from worker.containers.firewall import name_servers, rules

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
