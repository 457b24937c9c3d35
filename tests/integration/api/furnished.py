"""What the examples of the document name: the app `mine`, two routes and its root, a call that has ended, a token."""

from contextlib import suppress
from datetime import UTC, datetime

from api.descriptions.examples import CALL_ID
from api.descriptions.tokens import TOKEN
from common.errors import CallsAlreadyExistError
from common.models import Call, RouteRevision, Scope, Token, new_id
from common.store.base import ClaimRequest, Settlement
from tests.integration.api.served import ServedApi
from tests.integration.api.stand_in import ended

ROUTES = {"upper": "async", "": "async", "now": "sync"}


async def furnish(api: ServedApi, *, is_ended: bool = True) -> None:
    """Make all of it that is not there, with a call that has ended or waits. Raises MillraceError if it is deleted
    meanwhile."""
    for path, kind in ROUTES.items():
        fields = {"image": "me/upper:1", "type": kind, "timeout": 1}
        answer = await api.ask("PUT", f"/v1/apps/mine/routes/{path}", json={"route": fields})
        assert answer.status == 200, answer.body
    if TOKEN.id not in {token.id for token in await api.store.get_tokens()}:
        await api.store.insert_token(
            Token(id=TOKEN.id, name="operator", scope=Scope.ADMIN, hash=TOKEN.id.bytes)
        )
    route = await api.store.get_route("mine", "/upper")
    revision = RouteRevision.of(await api.store.get_app("mine"), route)
    await api.store.insert_revision(revision)
    call = Call(
        id=CALL_ID, app_name="mine", path="/upper", type="async", route_revision=revision.id, payload=b""
    )
    with suppress(CallsAlreadyExistError):
        await api.store.insert_call(call)
        if is_ended:
            await run(api, [ClaimRequest(id=CALL_ID, token=1)])


async def run(api: ServedApi, requests: list[ClaimRequest]) -> None:
    """Claim the calls and end them well."""
    incarnation = new_id()
    await api.store.register_worker(incarnation, "here", 1, 1)
    await api.store.claim(requests, incarnation, 5)
    outcome = ended(result=b"SOME TEXT", log=b"read 9 bytes\n", exit_code=0, started_at=datetime.now(UTC))
    await api.store.settle([Settlement(id=one.id, token=one.token, outcome=outcome) for one in requests])
    await api.store.remove_worker(incarnation)
