from datetime import UTC, datetime

import pytest

from common import errors
from common.models import App, AppWrapper, merge_config

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)


@pytest.mark.parametrize("name", ["teste", "A", "Z-z_0", "x" * 30])
def test_valid_names(name: str) -> None:
    App(name=name).validate()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", errors.AppsMissingNameError),
        ("x" * 31, errors.AppsTooLongNameError),
        ("é" * 16, errors.AppsTooLongNameError),  # 32 bytes
        ("&&%@!#$#@$", errors.AppsInvalidNameError),
        ("a b", errors.AppsInvalidNameError),
        ("a\n", errors.AppsInvalidNameError),
        ("[", errors.AppsInvalidNameError),
        ("é", errors.AppsInvalidNameError),
        ("٣", errors.AppsInvalidNameError),
    ],
)
def test_invalid_names(name: str, error: type[errors.MillraceError]) -> None:
    with pytest.raises(error) as caught:
        App(name=name).validate()
    assert caught.value.field == "app.name"


@pytest.mark.parametrize("config", [{"": "v"}, {"a=b": "v"}, {"a\0": "v"}, {"a": "\0"}])
def test_config_that_no_process_can_be_given_is_refused(config: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidConfigError) as caught:
        App(name="a", config=config).validate()
    assert caught.value.field.startswith("app.config.")


def test_config_that_is_too_large_for_an_environment_is_refused() -> None:
    App(name="a", config={"K": "ü" * (32 * 1024 - 1)}).validate()
    with pytest.raises(errors.InvalidConfigError) as caught:
        App(name="a", config={"K": "ü" * (32 * 1024)}).validate()
    assert caught.value.field == "app.config.'K'"
    assert "65536 bytes" in caught.value.message
    whole = {f"K{number}": "x" * (64 * 1024 - 2) for number in range(8)}
    App(name="a", config=whole).validate()
    with pytest.raises(errors.InvalidConfigError) as caught:
        App(name="a", config={**whole, "L": ""}).validate()
    assert caught.value.field == "app.config"
    assert "524288 bytes" in caught.value.message


def test_created_and_updated_come_from_one_clock_reading() -> None:
    app = App(name="a").set_defaults(NOW)
    assert app.created_at == app.updated_at == NOW


def test_a_wrapper_without_an_app_says_so() -> None:
    with pytest.raises(errors.AppsMissingNewError):
        AppWrapper().validate()


def test_merging_config_sets_and_deletes_and_keeps() -> None:
    old = {"keep": "1", "change": "1", "drop": "1", "empty": ""}
    assert merge_config(old, {"change": "2", "drop": "", "new": "3", "absent": ""}) == {
        "keep": "1",
        "change": "2",
        "new": "3",
        "empty": "",
    }
