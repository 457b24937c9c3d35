import asyncio

import pytest
from msgspec.structs import replace

from common import errors
from common.models import App, Route, RouteFilter
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import APP, NOW, REVISION, ROUTE


async def test_a_route_comes_back_as_it_was_stored(store: PostgresStore, app: App) -> None:
    route = replace(ROUTE, writable_root=True, json_framing="line", body_encoding="base64", network="none")
    assert await store.insert_route(route) == route
    assert await store.get_route("app", "/hello") == route


async def test_a_route_without_times_gets_one_reading_of_the_clock(store: PostgresStore, app: App) -> None:
    stored = await store.insert_route(replace(ROUTE, created_at=None, updated_at=None, writable_root=None))
    assert stored.created_at is not None
    assert stored.created_at == stored.updated_at
    assert stored.writable_root is False


async def test_no_route_no_app_name_and_no_path_are_refused_in_this_order(store: PostgresStore) -> None:
    for refused in (store.insert_route(None), store.update_route(None)):
        with pytest.raises(errors.DatastoreEmptyRouteError):
            await refused
    for refused in (
        store.insert_route(Route()),
        store.put_route(Route(), APP),
        store.put_route(ROUTE, App()),
        store.update_route(Route()),
        store.get_route("", ""),
    ):
        with pytest.raises(errors.DatastoreEmptyAppNameError):
            await refused
    with pytest.raises(errors.DatastoreEmptyAppNameError):
        await store.remove_route("", "")
    with pytest.raises(errors.DatastoreEmptyAppNameError):
        await store.get_routes_by_app("")
    nameless = replace(ROUTE, path="")
    for refused in (
        store.insert_route(nameless),
        store.put_route(nameless, APP),
        store.update_route(nameless),
        store.get_route("app", ""),
    ):
        with pytest.raises(errors.DatastoreEmptyRoutePathError):
            await refused
    with pytest.raises(errors.DatastoreEmptyRoutePathError):
        await store.remove_route("app", "")


@pytest.mark.parametrize(
    ("app_name", "path"),
    [
        ("app", "/other"),
        ("app", "/hello/"),
        ("app", "/HELLO"),
        ("other", "/hello"),
        ("app", "/\0"),
        ("\udfff", "/"),
    ],
)
async def test_only_the_literal_path_is_found(
    store: PostgresStore, app: App, app_name: str, path: str
) -> None:
    await store.insert_route(ROUTE)
    await store.insert_route(replace(ROUTE, path="/\ufffd"))
    with pytest.raises(errors.RoutesNotFoundError):
        await store.get_route(app_name, path)
    with pytest.raises(errors.RoutesNotFoundError):
        await store.update_route(Route(app_name=app_name, path=path))
    with pytest.raises(errors.RoutesNotFoundError):
        await store.remove_route(app_name, path)


async def test_a_route_needs_its_app(store: PostgresStore) -> None:
    with pytest.raises(errors.AppsNotFoundError):
        await store.insert_route(ROUTE)


async def test_a_path_is_taken_once_in_an_app(store: PostgresStore, app: App) -> None:
    await store.insert_route(ROUTE)
    with pytest.raises(errors.RoutesAlreadyExistsError):
        await store.insert_route(replace(ROUTE, image="other"))
    with pytest.raises(errors.RoutesAlreadyExistsError):
        await store.put_route(replace(ROUTE, image="other"), APP)
    assert await store.get_route("app", "/hello") == ROUTE
    await store.insert_app(App(name="second"))
    await store.insert_route(replace(ROUTE, app_name="second"))


async def test_routes_are_listed_by_path_in_byte_order_page_by_page(store: PostgresStore, app: App) -> None:
    paths = ["/", "/Abcdefg", "/Test", "/_", "/abcdefg", "/abcdefg/b", "/é"]
    for path in reversed(paths):
        await store.insert_route(replace(ROUTE, path=path))
    assert [route.path for route in await store.get_routes_by_app("app")] == paths
    first = await store.get_routes_by_app("app", RouteFilter(per_page=3))
    rest = await store.get_routes_by_app("app", RouteFilter(per_page=9, cursor=first[-1].path))
    assert [route.path for route in first + rest] == paths


async def test_routes_are_filtered_by_image_and_app(store: PostgresStore, app: App) -> None:
    await store.insert_app(App(name="second"))
    await store.insert_route(ROUTE)
    await store.insert_route(replace(ROUTE, path="/b", image="other:1"))
    await store.insert_route(replace(ROUTE, app_name="second"))
    filtered = await store.get_routes_by_app("app", RouteFilter(image="other:1", app_name="ignored"))
    assert [route.path for route in filtered] == ["/b"]
    assert await store.get_routes_by_app("app", RouteFilter(image="other")) == []
    assert await store.get_routes_by_app("app", RouteFilter(image="\0")) == []
    assert await store.get_routes_by_app("unknown") == []


async def test_put_route_makes_the_app(store: PostgresStore) -> None:
    assert await store.put_route(ROUTE, APP) == ROUTE
    assert (await store.get_app("app")).config == APP.config


async def test_put_route_leaves_an_app_as_it_is(store: PostgresStore, app: App) -> None:
    await store.put_route(ROUTE, App(name="app", config={"other": "x"}))
    assert await store.get_app("app") == app


async def test_a_refused_put_leaves_no_app_behind(store: PostgresStore) -> None:
    with pytest.raises(errors.AppsNotFoundError):
        await store.put_route(replace(ROUTE, app_name="another"), APP)
    with pytest.raises(errors.AppsNotFoundError):
        await store.get_app("app")


async def test_concurrent_first_deploys_of_routes_both_work(store: PostgresStore) -> None:
    routes = [replace(ROUTE, path=f"/{number}") for number in range(6)]
    await asyncio.gather(*(store.put_route(route, APP) for route in routes))
    assert await store.get_routes_by_app("app") == routes


async def test_concurrent_first_deploys_of_one_route_work_once(store: PostgresStore) -> None:
    answers = await asyncio.gather(*(store.put_route(ROUTE, APP) for _ in range(6)), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, Route)] == [ROUTE]
    refusals = [answer for answer in answers if not isinstance(answer, Route)]
    assert {type(refusal) for refusal in refusals} == {errors.RoutesAlreadyExistsError}


async def test_deploying_while_the_app_is_removed_leaves_no_orphan(store: PostgresStore) -> None:
    for _ in range(5):
        removal, _ = await asyncio.gather(
            store.remove_app("app"), store.put_route(ROUTE, APP), return_exceptions=True
        )
        assert removal == [] or isinstance(removal, errors.AppsNotFoundError)
        routes = await store.get_routes_by_app("app")
        if routes:
            await store.remove_app("app")


async def test_update_merges_as_the_route_does(store: PostgresStore, app: App) -> None:
    await store.insert_route(ROUTE)
    await store.update_route(Route(app_name="app", path="/hello", config={"A": "1", "B": "2"}, memory=64))
    change = Route(
        app_name="app",
        path="/hello",
        config={"A": "", "B": "3"},
        headers={"x-one": [], "X-Two": ["2"]},
        timeout=300,
    )
    updated = await store.update_route(change)
    assert updated.config == {"NAME": "value", "B": "3"}
    assert updated.headers == {"X-Two": ["2"]}
    assert (updated.memory, updated.timeout, updated.image) == (64, 300, ROUTE.image)
    assert updated.created_at == NOW
    assert await store.get_route("app", "/hello") == updated


async def test_update_validates_the_merged_route(store: PostgresStore, app: App) -> None:
    await store.insert_route(ROUTE)
    before = await store.update_route(Route(app_name="app", path="/hello", timeout=121))
    with pytest.raises(errors.RoutesInvalidTimeoutError):
        await store.update_route(Route(app_name="app", path="/hello", type="sync"))
    assert await store.get_route("app", "/hello") == before


async def test_updated_at_of_a_route_moves_only_on_a_change(store: PostgresStore, app: App) -> None:
    await store.insert_route(ROUTE)
    nothing = Route(app_name="app", path="/hello", image=ROUTE.image, config={"NAME": "value", "absent": ""})
    assert await store.update_route(nothing) == ROUTE
    changed = await store.update_route(Route(app_name="app", path="/hello", memory=1))
    assert changed.updated_at is not None
    assert changed.updated_at > NOW


async def test_concurrent_updates_of_a_route_lose_nothing(store: PostgresStore, app: App) -> None:
    await store.insert_route(ROUTE)
    changes = [Route(app_name="app", path="/hello", config={f"K{number}": "v"}) for number in range(8)]
    await asyncio.gather(*(store.update_route(change) for change in changes))
    config = (await store.get_route("app", "/hello")).config
    assert set(config) == {"NAME", *(f"K{number}" for number in range(8))}


async def test_a_removed_route_is_gone(store: PostgresStore, app: App) -> None:
    await store.insert_route(ROUTE)
    await store.remove_route("app", "/hello")
    with pytest.raises(errors.RoutesNotFoundError):
        await store.get_route("app", "/hello")
    assert await store.get_app("app") == app


async def test_a_revision_can_be_stored_again_and_again(store: PostgresStore) -> None:
    await store.insert_app(APP)
    await asyncio.gather(*(store.insert_revision(REVISION) for _ in range(4)))
    async with store.get_database().acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM route_revisions") == 1
