"""Addresses of servers: taken apart strictly; what is wrong is named, and no password is shown."""

from typing import Any

import pytest

from common.addresses import parse_address
from common.errors import SettingsError
from common.queue.server import RedisServer
from common.store.server import PostgresServer

SECRET = "Tr0ub4dor"


def parsed(url: str, **more: Any) -> object:
    return parse_address("MILLRACE_X_URL", url, schemes=("x", "y"), options=("a", "b"), **more)


def test_every_part_is_decoded() -> None:
    assert parse_address(
        "V", "x://us%40er:p%2Fw%25@h%2Dost:1/a%20b?a=1+2&b=", schemes=("x",), options=("a", "b")
    ).hosts == (("h-ost", 1),)
    address = parse_address("V", "x://us%40er:p%2Fw%25:@[::1]:7/p?a=1+2", schemes=("x",), options=("a",))
    assert (address.user, address.password, address.hosts) == ("us@er", "p/w%:", (("::1", 7),))
    assert (address.path, address.options) == ("/p", {"a": "1 2"})


@pytest.mark.parametrize(
    "url",
    [
        f"x://me:{SECRET}@{SECRET}@host/db",
        f"x://me:{SECRET}/{SECRET}@host/db",
        f"x://me:{SECRET}?{SECRET}@host/db",
        f"x://me:{SECRET}#{SECRET}@host/db",
        f"x://me:{SECRET}%{SECRET}@host/db",
        f"x://me:{SECRET} {SECRET}@host/db",
        f"x://me:{SECRET}[{SECRET}@host/db",
        f"x://me:{SECRET}]{SECRET}@host/db",
        f"x://me:{SECRET}%ff@host/db",
        f"x://me:{SECRET}\n@host/db",
        f"x://me:/{SECRET}",
        f"me:{SECRET}@host/db",
        f"{SECRET}",
        f"x://me:{SECRET}@host:port/db",
        f"x://me:{SECRET}@host:0/db",
        f"x://me:{SECRET}@host:65536/db",
        f"x://me:{SECRET}@host:/db",
        f"x://me:{SECRET}@host/db?a",
        f"x://me:{SECRET}@host/db?a=1&a=2",
        f"x://me:{SECRET}@one,two/db",
        f"x://me:{SECRET}@/db?c=1",
        f"z://me:{SECRET}@host/db",
    ],
)
def test_a_wrong_address_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^MILLRACE_X_URL: ") as caught:
        parsed(url)
    assert SECRET not in caught.value.message
    assert "\n" not in caught.value.message


def test_an_option_that_is_not_allowed_is_named_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match=r"the option 'c' may not be set \(only a, b may\)"):
        parsed("x://host/?c=1")


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("mysql://host/db", "it begins with mysql://: it must begin with postgresql://"),
        ("postgresql:///db", "names no host"),
        ("postgresql://host/db?sslmode=maybe", "sslmode is one of disable, prefer"),
        ("postgresql://host/db?sslmode=verify-full", "needs sslrootcert=FILE"),
        ("postgresql://host/db?sslmode=verify-full&sslrootcert=/none.pem", "No such file"),
        ("postgresql://host/db?statement_cache_size=100", "'statement_cache_size' may not be set"),
        ("postgresql://host/db?options=-csearch_path%3Dx", "'options' may not be set"),
        ("postgresql://host/db?command_timeout=1", "may not be set"),
        ("postgresql://host/db?default_transaction_isolation=serializable", "may not be set"),
        ("postgresql://host/db?target_session_attrs=standby", "target_session_attrs is one of"),
        ("postgresql://host/db?host=/run", "not in both"),
        ("postgresql:///db?host=elsewhere", "a directory"),
    ],
)
def test_what_is_wrong_with_an_address_of_postgres_is_said(url: str, what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        PostgresServer(url)
    assert caught.value.message.startswith("MILLRACE_DATABASE_URL: ")
    assert what in caught.value.message


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://host", "it must begin with redis://"),
        ("redis://host/queue", "the database is a number"),
        ("redis://host/0/1", "the database is a number"),
        ("redis://host/²", "the database is a number"),
        ("redis://host?db=x", "the database is a number"),
        ("redis://host/1?db=2", "not in both"),
        ("unix://run/redis.sock", "names no socket"),
        *(
            (f"redis://host/0?{option}", "may not be set (only db may)")
            for option in (
                *("decode_responses=true", "protocol=3", "socket_timeout=1", "socket_connect_timeout=1"),
                *(
                    "health_check_interval=1",
                    "retry_on_timeout=true",
                    "max_connections=1",
                    "encoding=latin-1",
                ),
                *("client_name=x", "timeout=1", "ssl_cert_reqs=none"),
            )
        ),
        ("rediss://host?ssl_cert_reqs=maybe", "ssl_cert_reqs is one of required"),
        ("rediss://host?ssl_check_hostname=0", "ssl_check_hostname is one of true, false"),
    ],
)
def test_what_is_wrong_with_an_address_of_redis_is_said(url: str, what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        RedisServer(url)
    assert caught.value.message.startswith("MILLRACE_REDIS_URL: ")
    assert what in caught.value.message


@pytest.mark.parametrize(
    ("server", "place"),
    [
        (PostgresServer(f"postgresql://me:{SECRET}@host/records"), "host:5432/records"),
        (PostgresServer(f"postgres://me:{SECRET}@a:1,[::1]:2/r?sslmode=disable"), "a:1,::1:2/r"),
        (PostgresServer(f"postgresql://me:{SECRET}@/r?host=/run/pg"), "/run/pg:5432/r"),
        (RedisServer(f"redis://:{SECRET}@host/3"), "host:6379/3"),
        (RedisServer(f"rediss://me:{SECRET}@host:1"), "host:1/0"),
        (RedisServer(f"unix://:{SECRET}@/run/redis.sock?db=2"), "/run/redis.sock/2"),
        (RedisServer(f"redis+sentinel://:{SECRET}@a,b:2/main"), "a:26379,b:2/main"),
    ],
)
def test_a_server_is_named_without_its_password(server: PostgresServer | RedisServer, place: str) -> None:
    assert server.place == place
    assert SECRET not in str(server.unusable("a cause\nof two lines"))
    assert "\n" not in str(server.unusable("a cause\nof two lines"))
