"""The descriptions of /v1/tokens."""

from uuid import UUID

from msgspec.structs import replace

from api.answers import Done
from api.descriptions.examples import MORNING
from api.descriptions.parts import JSON_ERRORS, Description, Descriptions, json
from api.fields import NewToken
from api.handlers import tokens
from api.overviews import Token, TokenList
from common.errors import (
    AppsNotFoundError,
    FirstTokenError,
    InvalidTokenError,
    LastAdminTokenError,
    StoreUnavailableError,
    TokenNotFoundError,
    TooManyTokensError,
    UnknownFieldError,
)
from common.models import Scope

SECRET = "mr_3q2-7wAAc2VjcmV0IG9mIGFuIGV4YW1wbGUgb25seQ"  # noqa: S105 - of the example
TOKEN = Token(
    id=UUID("0193c0de-5eed-7000-8000-000000000004"), name="operator", scope=Scope.ADMIN, created_at=MORNING
)

DESCRIPTIONS: Descriptions = {
    tokens.list_tokens: Description(
        answers={"200": json(TokenList(message="Successfully listed tokens", tokens=[TOKEN]))},
        errors=(StoreUnavailableError,),
    ),
    tokens.create_token: Description(
        text=(
            "The first token must be of scope `admin`, and may be created without one; from then on every request needs"
            " a token, at once in this process, within seconds in others."
        ),
        body=json(NewToken(name="operator", scope=Scope.ADMIN)),
        answers={"200": json(replace(TOKEN, token=SECRET))},
        errors=(
            *JSON_ERRORS,
            UnknownFieldError,
            InvalidTokenError,
            AppsNotFoundError,
            FirstTokenError,
            TooManyTokensError,
            StoreUnavailableError,
        ),
    ),
    tokens.revoke_token: Description(
        text="At once for this process, within seconds for others. The last token of scope `admin` goes last.",
        answers={"200": json(Done(message="Token revoked"))},
        errors=(TokenNotFoundError, LastAdminTokenError, StoreUnavailableError),
    ),
}
