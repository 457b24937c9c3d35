import pytest

from common.errors import SettingsError
from common.settings import Settings, load_settings, require_servers


def test_other_variables_are_not_ours() -> None:
    assert load_settings({"PATH": "/bin", "FN_PORT": "x"}) == Settings(data_dir=Settings().data_dir)


def test_values_are_parsed_to_their_types() -> None:
    settings = load_settings({"MILLRACE_PORT": "9090", "MILLRACE_LEASE_S": "2.5", "MILLRACE_NETWORK": "none"})
    assert (settings.port, settings.lease_s, settings.network) == (9090, 2.5, "none")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MILLRACE_PROT", "8080"),
        ("MILLRACE_port", "8080"),
        ("MILLRACE_PORT", "http"),
        ("MILLRACE_PORT", "0"),
        ("MILLRACE_PORT", "65536"),
        ("MILLRACE_LEASE_S", "-1"),
        ("MILLRACE_LEASE_S", "nan"),
        ("MILLRACE_LEASE_S", "0.01"),
        ("MILLRACE_HEARTBEAT_STALE_S", "9"),
        ("MILLRACE_IDEMPOTENCY_KEYS_KEEP_HOURS", "169"),
        ("MILLRACE_DATA_DIR", ""),
        ("MILLRACE_DATA_DIR", "data"),
        ("MILLRACE_NETWORK", "host"),
        ("MILLRACE_QUEUE_NAME", "{a}"),
        ("MILLRACE_LOG_LEVEL", "loud"),
        ("MILLRACE_SERVE", "v2"),
        ("MILLRACE_RATE_LIMIT_PER_S", "-1"),
        ("MILLRACE_RATE_LIMIT_PER_S", "nan"),
        ("MILLRACE_RATE_LIMIT_BURST", "0"),
        ("MILLRACE_CORS_ORIGINS", "app.example"),
        ("MILLRACE_CORS_ORIGINS", "https://app.example/"),
        ("MILLRACE_CORS_ORIGINS", "https://a.example,*"),
        ("MILLRACE_CORS_ORIGINS", "https://a.example\n"),
        ("MILLRACE_TOKEN", "mr_x\n"),
        ("MILLRACE_TOKEN", "mr x"),
    ],
)
def test_a_misspelt_or_bad_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings({"MILLRACE_HOST": "127.0.0.1", name: value})
    assert caught.value.field == name


def test_a_wrong_choice_is_told_the_right_ones() -> None:
    with pytest.raises(
        SettingsError, match=r"^MILLRACE_NETWORK: Invalid enum value 'host' \(one of bridge, none\)$"
    ):
        load_settings({"MILLRACE_NETWORK": "host"})


def test_a_wrong_value_is_told_what_it_should_be_and_no_internals() -> None:
    with pytest.raises(SettingsError, match=r"^MILLRACE_PORT: Expected `int`, got `str`$"):
        load_settings({"MILLRACE_PORT": "http"})


@pytest.mark.parametrize(
    "origins", ["", "*", "https://a.example", "http://localhost:3000, https://[::1]:8443,https://b.example"]
)
def test_origins_are_a_list_or_a_star(origins: str) -> None:
    assert load_settings({"MILLRACE_CORS_ORIGINS": origins}).cors_origins == origins


def test_a_bad_token_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"MILLRACE_TOKEN": "mr_secret\n"})
    assert "secret" not in caught.value.message


def test_api_and_worker_need_both_servers() -> None:
    with pytest.raises(SettingsError, match="MILLRACE_DATABASE_URL"):
        require_servers(load_settings({"MILLRACE_REDIS_URL": "redis://localhost"}))
    with pytest.raises(SettingsError, match="MILLRACE_REDIS_URL"):
        require_servers(load_settings({"MILLRACE_DATABASE_URL": "postgresql://localhost"}))
