import base64
import hashlib

import pytest
from msgspec.structs import replace

from common.errors import InvalidTokenError
from common.models import Scope, Token, hash_secret, new_id, new_secret

ADMIN = Token(id=new_id(), name="ops", scope=Scope.ADMIN, hash=b"")


def test_a_secret_is_32_random_bytes_after_its_prefix() -> None:
    secret = new_secret()
    assert secret.startswith("mr_")
    assert len(base64.urlsafe_b64decode(secret[3:] + "=")) == 32
    assert secret != new_secret()


def test_a_secret_is_kept_as_its_sha256() -> None:
    secret = new_secret()
    assert hash_secret(secret) == hashlib.sha256(secret.encode()).digest()


@pytest.mark.parametrize("name", ["x", "Ümläut and spaces", "n" * 100])
def test_names_are_for_people(name: str) -> None:
    replace(ADMIN, name=name).validate()


@pytest.mark.parametrize("name", ["", "n" * 101, "line\nbreak", "nul\0", "\ud800", "\x1b[31m"])
def test_a_name_that_can_not_be_shown_is_refused(name: str) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        replace(ADMIN, name=name).validate()
    assert caught.value.field == "name"


def test_all_scopes_but_admin_are_of_one_app() -> None:
    replace(ADMIN, scope=Scope.APP, app_name="a").validate()
    replace(ADMIN, scope=Scope.INVOKE, app_name="a").validate()
    for wrong in (
        replace(ADMIN, app_name="a"),
        replace(ADMIN, scope=Scope.APP),
        replace(ADMIN, scope=Scope.INVOKE, app_name=""),
    ):
        with pytest.raises(InvalidTokenError) as caught:
            wrong.validate()
        assert caught.value.field == "app"
