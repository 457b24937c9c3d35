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


OF_A_SERVICE = """
    SERVICE_HOST=10.3.2.1 SERVICE_PORT=8080 SERVICE_PORT_HTTP=8080 PORT=tcp://10.3.2.1:8080
    PORT_8080_TCP=tcp://10.3.2.1:8080 PORT_8080_TCP_PROTO=tcp PORT_8080_TCP_PORT=8080 PORT_8080_TCP_ADDR=10.3.2.1
    PORT_53_UDP=udp://[fd00::1]:53 PORT_53_UDP_PROTO=udp PORT_53_UDP_PORT=53 PORT_53_UDP_ADDR=fd00::1
""".split()


@pytest.mark.parametrize("service", ["MILLRACE", "MILLRACE_API", "MILLRACE_WORKER", "MILLRACE_2"])
def test_variables_of_a_kubernetes_service_are_not_ours(service: str) -> None:
    injected = dict(variable.split("=") for variable in OF_A_SERVICE)
    settings = load_settings({f"{service}_{name}": value for name, value in injected.items()})
    assert (settings.port, settings.worker_port) == (Settings().port, Settings().worker_port)


@pytest.mark.parametrize(
    "variable",
    [
        *("PORT=tcp://elsewhere:1", "PORT=http://10.3.2.1:80", "PORT=tcp://10.3.2.1", "SERVICE_PORT=http"),
        *(
            "SERVICE_HOST=localhost",
            "SERVICE_HOSTS=10.3.2.1",
            "PORT_8080=tcp://10.3.2.1:8080",
            "SERVICE=10.3.2.1",
        ),
        *(
            "PORT_8080_TCP=8080",
            "PORT_8080_TCP_NAME=http",
            "WORKER_PORTS=8080",
            "worker_service_host=10.3.2.1",
        ),
    ],
)
def test_what_is_only_like_a_kubernetes_variable_is_refused(variable: str) -> None:
    name, value = f"MILLRACE_{variable}".split("=")
    with pytest.raises(SettingsError, match=name):
        load_settings({name: value})


def test_a_wrong_choice_is_told_the_right_ones() -> None:
    with pytest.raises(
        SettingsError, match=r'^MILLRACE_NETWORK: got "host", but it must be bridge, none or optional\.$'
    ):
        load_settings({"MILLRACE_NETWORK": "host"})


def test_a_wrong_value_is_told_what_it_should_be_and_no_internals() -> None:
    for value in ("http", "0"):
        with pytest.raises(
            SettingsError,
            match=f'^MILLRACE_PORT: got "{value}", but it must be a whole number, at least 1 and at most 65535$',
        ):
            load_settings({"MILLRACE_PORT": value})
    with pytest.raises(SettingsError, match='got "30s", but it must be a number of seconds'):
        load_settings({"MILLRACE_LEASE_S": "30s"})
    with pytest.raises(SettingsError, match='got "data", but it must be an absolute path'):
        load_settings({"MILLRACE_DATA_DIR": "data"})
    with pytest.raises(SettingsError, match="must be true or false"):
        load_settings({"MILLRACE_NETWORK_PRIVATE": "maybe"})
    with pytest.raises(SettingsError, match='"a b", but it must be hosts, separated'):
        load_settings({"MILLRACE_REGISTRIES": "a b"})


def test_every_setting_says_what_it_must_be() -> None:
    told = []
    for name in Settings.__struct_fields__:
        try:
            load_settings({f"MILLRACE_{name.upper()}": "no\n"})
        except SettingsError as error:
            told.append(str(error))
    assert len(told) > 40
    assert [one for one in told if "another value" in one] == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MILLRACE_PROT", "MILLRACE_PORT"),
        ("MILLRACE_MAX_ATEMPTS", "MILLRACE_MAX_ATTEMPTS"),
        ("MILLRACE_port", "MILLRACE_PORT"),
        ("MILLRACE_REDISURL", "MILLRACE_REDIS_URL"),
    ],
)
def test_a_misspelt_setting_is_told_the_nearest_one(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is not a setting. Did you mean {meant}[?]$"):
        load_settings({name: "1"})


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


def test_functions_have_an_origin_of_their_own_only_where_nothing_else_is_served() -> None:
    own = {"MILLRACE_FUNCTIONS_OWN_ORIGIN": "true"}
    assert load_settings(own | {"MILLRACE_SERVE": "r"}).functions_own_origin
    for serve in ({}, {"MILLRACE_SERVE": "v1"}, {"MILLRACE_SERVE": "all"}):
        with pytest.raises(SettingsError, match="MILLRACE_FUNCTIONS_OWN_ORIGIN: needs MILLRACE_SERVE=r"):
            load_settings(own | serve)
