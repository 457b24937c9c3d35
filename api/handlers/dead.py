"""/v1/dead: calls that were given up after too many attempts. List them, bring them back as new calls, or delete them.

What is asked for is worked off from the oldest on, within a number and a size; ``has_more`` says that some are left.
"""

from typing import Annotated
from uuid import UUID

from aiohttp import web
from msgspec import Struct

from api.answers import CallList, Purged, Requeued, RequeuedCall
from api.causes import for_caller
from api.fields import said
from api.json_bodies import decode_members
from api.keys import BODIES, RETRIES, STORE
from api.parameters import per_page_of
from api.schemas import JSON_MAX_BYTES, call_json, json_response
from common.errors import InvalidCursorError, InvalidSelectionError
from common.models import parse_id
from common.store.base import Datastore
from common.store.steering import FoundDead
from common.wording import shown

MAX_CALLS = 1000
MAX_BYTES = 128 * 1024 * 1024  # of payloads, results and logs that one request may move


_IDS = said(
    "These: the ids of calls.", minItems=1, maxItems=MAX_CALLS, items={"type": "string", "format": "uuid"}
)


class SelectionFields(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which dead calls are meant: one of the three."""

    ids: Annotated[list[str], _IDS] | None = None
    app: Annotated[str, said("All of this app.")] | None = None
    all: Annotated[bool, said("All there are.")] | None = None


class Selection(Struct, frozen=True, kw_only=True):
    """Which dead calls are meant: these, or all of an app, or all there are."""

    ids: tuple[UUID, ...] | None = None
    app_name: str = ""


async def list_dead(request: web.Request) -> web.Response:
    app_name, per_page, store = request.query.get("app", ""), per_page_of(request), request.app[STORE]
    calls = await store.get_dead(app_name, _cursor_of(request), per_page)
    if app_name and not calls:
        await store.get_app(app_name)
    return json_response(
        CallList(
            message="Successfully listed dead calls",
            next_cursor=str(calls[-1].id) if len(calls) == per_page else "",
            calls=[call_json(for_caller(request, call)) for call in calls],
        )
    )


async def requeue(request: web.Request) -> web.Response:
    """Make a new call of each; who asks twice, or at the same time, gets one of each."""
    ids, has_more = await _chosen(request)
    requeued = await request.app[RETRIES].requeue(ids)
    shown = [RequeuedCall(id=call.parent_id, call_id=call.entry.id) for call in requeued.calls]
    has_more = has_more or not requeued.had_room
    return json_response(Requeued(requeued=len(shown), calls=shown, has_more=has_more))


async def purge(request: web.Request) -> web.Response:
    """Delete them with inputs, results and logs."""
    ids, has_more = await _chosen(request)
    purged = await request.app[STORE].purge_dead(ids) if ids else 0
    return json_response(Purged(purged=purged, has_more=has_more))


async def _chosen(request: web.Request) -> tuple[list[UUID], bool]:
    """The dead calls that the body means, as many as one request may move, and whether there are more."""
    async with request.app[BODIES].body(request, JSON_MAX_BYTES) as body:
        selection = decode_selection(body)
    found = await _find(request.app[STORE], selection)
    ids: list[UUID] = []
    room_bytes = MAX_BYTES
    for dead in found[:MAX_CALLS]:
        if ids and dead.stored_bytes > room_bytes:
            break
        ids.append(dead.id)
        room_bytes -= dead.stored_bytes
    return ids, len(ids) < len(found)


async def _find(store: Datastore, selection: Selection) -> list[FoundDead]:
    if selection.ids is not None:
        return await store.find_dead_of(selection.ids)
    if selection.app_name:
        await store.get_app(selection.app_name)
    return await store.find_dead(selection.app_name, MAX_CALLS + 1)


def decode_selection(body: bytes) -> Selection:
    """The calls that a body means. Raises InvalidJSONError, UnknownFieldError, InvalidSelectionError."""
    fields = decode_members(body, SelectionFields)
    given = [name for name in ("ids", "app", "all") if getattr(fields, name) not in (None, False)]
    if len(given) != 1:
        raise InvalidSelectionError(field=given[0] if given else "ids")
    if fields.ids is not None:
        return Selection(ids=_ids(fields.ids))
    if fields.app == "":
        raise InvalidSelectionError("Missing app name", field="app")
    return Selection(app_name=fields.app or "")


def _ids(texts: list[str]) -> tuple[UUID, ...]:
    if not 1 <= len(texts) <= MAX_CALLS:
        raise InvalidSelectionError(f"ids must name 1 to {MAX_CALLS} calls, not {len(texts)}", field="ids")
    ids = []
    for place, text in enumerate(texts):
        call_id = parse_id(text)
        if call_id is None:
            raise InvalidSelectionError(
                f"ids[{place}] is not the id of a call: got {shown(text)}", field="ids"
            )
        ids.append(call_id)
    return tuple(ids)


def _cursor_of(request: web.Request) -> UUID | None:
    """The call before which to go on. Fn has no such path: a bad one is InvalidCursorError, not the first page."""
    text = request.query.get("cursor", "")
    cursor = parse_id(text)
    if text and cursor is None:
        raise InvalidCursorError(
            field="cursor", detail=f"got {shown(text)}, but it must be a next_cursor, or nothing"
        )
    return cursor
