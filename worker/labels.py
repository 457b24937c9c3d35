"""Whose a container is, and what it runs: the labels that every function container carries. Decides nothing by them."""

from uuid import UUID

from msgspec import Struct

from common.models import Call
from worker.containers.driver import (
    LABEL_APP,
    LABEL_CALL,
    LABEL_INCARNATION,
    LABEL_INSTALLATION,
    LABEL_PATH,
    LABEL_TOKEN,
)
from worker.runs import Run

MAX_TOKEN_DIGITS = 20


class Identity(Struct, frozen=True, kw_only=True):
    """Whose containers these are: the database that is served, and this start of this worker."""

    installation: UUID
    incarnation: UUID


def route_labels(identity: Identity, call: Call) -> dict[str, str]:
    """Of a container that serves calls of one route."""
    return {
        LABEL_INCARNATION: str(identity.incarnation),
        LABEL_INSTALLATION: str(identity.installation),
        LABEL_APP: call.app_name,
        LABEL_PATH: call.path,
    }


def call_labels(identity: Identity, run: Run) -> dict[str, str]:
    """Of a container that is one call's own."""
    return route_labels(identity, run.call) | {LABEL_CALL: str(run.call.id), LABEL_TOKEN: str(run.token)}


def token_of(labels: dict[str, str]) -> int | None:
    """The token of the attempt that a container serves; None if its label does not say."""
    text = labels.get(LABEL_TOKEN, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < MAX_TOKEN_DIGITS else None
