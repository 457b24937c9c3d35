import pytest

from api.guard import require_loopback
from common.errors import SettingsError
from common.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_addresses_may_be_listened_on(host: str) -> None:
    require_loopback(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "example.org", "localhost.evil.example"])
def test_others_are_refused_by_name(host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        require_loopback(Settings(host=host))
    assert caught.value.field == "MILLRACE_HOST"
    assert "MILLRACE_HOST" in caught.value.message
