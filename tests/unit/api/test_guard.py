from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from api.cors import Cors
from api.guard import check_local, require_loopback
from common.errors import ForeignClientError, ForeignOriginError, SettingsError


def request_from(address: str, **headers: str) -> web.Request:
    transport = Mock()
    transport.get_extra_info = lambda name, default=None: (address, 1) if name == "peername" else default
    named = {"Host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return make_mocked_request("GET", "/", headers=named, transport=transport)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"])
def test_loopback_addresses_may_be_listened_on(host: str) -> None:
    require_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "10.0.0.1", "example.org", "localhost.evil.example", "::ffff:10.0.0.1"]
)
def test_others_are_refused_by_name_and_told_how_to_go_on(host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        require_loopback(host)
    assert caught.value.field == "MILLRACE_HOST"
    for word in ("MILLRACE_HOST", "millrace tokens create", "--database"):
        assert word in caught.value.message


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_local(address: str) -> None:
    check_local(request_from(address), Cors(""))


@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "", "localhost"])
def test_another_machine_is_not_whatever_host_it_names(address: str) -> None:
    with pytest.raises(ForeignClientError):
        check_local(request_from(address), Cors(""))


def test_configured_origins_pass_but_never_all_of_them() -> None:
    page = {"Origin": "https://app.example", "Sec_Fetch_Site": "cross-site"}
    check_local(request_from("127.0.0.1", **page), Cors("https://app.example, https://other.example"))
    for origins in ("", "*", "https://app.example:444", "http://app.example"):
        with pytest.raises(ForeignOriginError):
            check_local(request_from("127.0.0.1", **page), Cors(origins))
    with pytest.raises(
        ForeignOriginError
    ):  # no page says by itself where it is from: it names no origin at all
        check_local(request_from("127.0.0.1", Sec_Fetch_Site="cross-site"), Cors("https://app.example"))
