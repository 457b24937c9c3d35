"""Every error of Millrace, drawn once. No HTTP here: the api owns the map from slug to status code.

    MillraceError
    ├── InvalidError      the request or argument is wrong: asking again changes nothing
    ├── NotFoundError     it does not exist
    ├── ConflictError     it exists, but not in the state that was asked for
    ├── UnavailableError  a part of the platform or its capacity is away: asking later may work
    └── FatalError        this process must not run as it is: settings, schema, servers that are not fit

The first block of classes are the error variables of the package page that the system follows, ErrX spelled
XError, with the exact messages of Fn v1 (clients match on them). Slugs are stable: they may be matched on too.
"""

from collections.abc import Iterable
from typing import ClassVar, Self

from common.wording import MAX_NAME_CHARS, did_you_mean, one_line


class MillraceError(Exception):
    """Base of all. ``slug`` is stable and machine-readable, ``field`` names the bad field where there is one.

    ``detail`` is added to the message: what came, and what is wanted. The message begins as it did without it.
    """

    slug: ClassVar[str] = "internal_error"
    default_message: ClassVar[str] = "internal server error"

    def __init__(self, message: str = "", *, field: str = "", detail: str = "") -> None:
        self.message = message or self.default_message
        if detail:
            self.message += f": {detail}"
        self.field = field
        super().__init__(self.message)


class InvalidError(MillraceError):
    """The request or an argument is wrong."""


class NotFoundError(MillraceError):
    """What was named does not exist."""


class ConflictError(MillraceError):
    """What was named is not in the state that the operation needs."""


class UnavailableError(MillraceError):
    """Something outside, or capacity, is away for now."""


class FatalError(MillraceError):
    """This process must not go on."""


# -- the error variables of the package page, in its order ------------------------------------------------------


class InvalidJSONError(InvalidError):
    slug = "invalid_json"
    default_message = "Invalid JSON"


class CallTimeoutError(UnavailableError):
    slug = "call_timeout"
    default_message = "Timed out"


class CallTimeoutServerBusyError(UnavailableError):
    slug = "server_busy"
    default_message = "Timed out - server too busy"


class AppsMissingNameError(InvalidError):
    slug = "app_name_missing"
    default_message = "Missing app name"


class AppsTooLongNameError(InvalidError):
    slug = "app_name_too_long"
    default_message = "App name must be 30 characters or less"


class AppsInvalidNameError(InvalidError):
    slug = "app_name_invalid"
    default_message = "Invalid app name"


class AppsAlreadyExistsError(ConflictError):
    slug = "app_already_exists"
    default_message = "App already exists"


class AppsMissingNewError(InvalidError):
    slug = "app_missing"
    default_message = "Missing new application"


class AppsNameImmutableError(ConflictError):
    slug = "app_name_immutable"
    default_message = "Could not update - name is immutable"


class AppsNotFoundError(NotFoundError):
    slug = "app_not_found"
    default_message = "App not found"


class DeleteAppsWithRoutesError(ConflictError):
    slug = "app_has_routes"
    default_message = "Cannot remove apps with routes"


class DatastoreEmptyAppNameError(InvalidError):
    slug = "store_empty_app_name"
    default_message = "Missing app name"


class DatastoreEmptyRoutePathError(InvalidError):
    slug = "store_empty_route_path"
    default_message = "Missing route name"


class DatastoreEmptyAppError(InvalidError):
    slug = "store_empty_app"
    default_message = "Missing app"


class DatastoreEmptyRouteError(InvalidError):
    slug = "store_empty_route"
    default_message = "Missing route"


class DatastoreEmptyKeyError(InvalidError):
    slug = "store_empty_key"
    default_message = "Missing key"


class DatastoreEmptyCallIDError(InvalidError):
    slug = "store_empty_call_id"
    default_message = "Missing call ID"


class DatastoreCannotUpdateCallError(ConflictError):
    slug = "call_changed"
    default_message = "Call to be updated is different from expected"


class InvalidPayloadError(InvalidError):
    slug = "invalid_payload"
    default_message = "Invalid payload"


class RoutesAlreadyExistsError(ConflictError):
    slug = "route_already_exists"
    default_message = "Route already exists"


class RoutesMissingNewError(InvalidError):
    slug = "route_missing"
    default_message = "Missing new route"


class RoutesNotFoundError(NotFoundError):
    slug = "route_not_found"
    default_message = "Route not found"


class RoutesPathImmutableError(ConflictError):
    slug = "route_path_immutable"
    default_message = "Could not update - path is immutable"


class FoundDynamicURLError(InvalidError):
    slug = "route_dynamic_url"
    default_message = "Dynamic URL is not allowed"


class RoutesInvalidPathError(InvalidError):
    slug = "route_path_invalid"
    default_message = "Invalid route path format"


class RoutesInvalidTypeError(InvalidError):
    slug = "route_type_invalid"
    default_message = "Invalid route Type"


class RoutesInvalidFormatError(InvalidError):
    slug = "route_format_invalid"
    default_message = "Invalid route Format"


class RoutesMissingAppNameError(InvalidError):
    slug = "route_app_name_missing"
    default_message = "Missing route AppName"


class RoutesMissingImageError(InvalidError):
    slug = "route_image_missing"
    default_message = "Missing route Image"


class RoutesMissingNameError(InvalidError):
    slug = "route_name_missing"
    default_message = "Missing route Name"


class RoutesMissingPathError(InvalidError):
    slug = "route_path_missing"
    default_message = "Missing route Path"


class RoutesMissingTypeError(InvalidError):
    slug = "route_type_missing"
    default_message = "Missing route Type"


class PathMalformedError(InvalidError):
    slug = "path_malformed"
    default_message = "Path malformed"


class InvalidToTimeError(InvalidError):
    slug = "to_time_invalid"
    default_message = "to_time is not an epoch time"


class InvalidFromTimeError(InvalidError):
    slug = "from_time_invalid"
    default_message = "from_time is not an epoch time"


class RoutesInvalidTimeoutError(InvalidError):
    slug = "route_timeout_invalid"
    default_message = (
        "timeout value is out of range. Sync should be between 0 and 120, async should be between 0 and 3600"
    )


class RoutesInvalidIdleTimeoutError(InvalidError):
    slug = "route_idle_timeout_invalid"
    default_message = "idle_timeout value is out of range. It should be between 0 and 3600"


class RoutesInvalidMemoryError(InvalidError):
    slug = "route_memory_invalid"
    default_message = "memory value is out of range. It should be between 0 and 8192"


class CallNotFoundError(NotFoundError):
    slug = "call_not_found"
    default_message = "Call not found"


class CallLogNotFoundError(NotFoundError):
    slug = "call_log_not_found"
    default_message = "Call log not found"


class InvokeNotSupportedError(InvalidError):
    slug = "invoke_not_supported"
    default_message = "Invoking routes /r/ is not supported on nodes configured as type API"


class APINotSupportedError(InvalidError):
    slug = "api_not_supported"
    default_message = "Invoking api /v1/ requests is not supported on nodes configured as type Runner"


class PathNotFoundError(NotFoundError):
    slug = "path_not_found"
    default_message = "Path not found"


# -- ours --------------------------------------------------------------------------------------------------------


class AppsBeingRemovedError(UnavailableError):
    """Asked again later, it is not found; or it is there after all, if its removal failed."""

    slug = "app_being_removed"
    default_message = "App is being removed: ask again in a few seconds"


class CallsAlreadyExistError(ConflictError):
    slug = "call_already_exists"
    default_message = "Call already exists"


class CallIsFinalError(ConflictError):
    slug = "call_is_final"
    default_message = "Call is final"

    @classmethod
    def of(cls, status: str) -> Self:
        """Of a call that ended so."""
        return cls(f"{cls.default_message}: its status is {status}")


class CallNotFinalError(ConflictError):
    slug = "call_not_final"
    default_message = "Call is not final"

    @classmethod
    def of(cls, status: str) -> Self:
        """Of a call that is in this state."""
        return cls(f"{cls.default_message}: its status is {status}")


class CallNotRetriableError(ConflictError):
    slug = "call_not_retriable"
    default_message = "Call can't be retried: its input was not kept, as that of sync calls never is"


class CallResultNotFoundError(NotFoundError):
    slug = "call_result_not_found"
    default_message = "Call result not found: the call ended without one, or it was deleted before its call"


class CallResultNotYetError(NotFoundError):
    slug = "call_result_not_yet"
    default_message = "Call has no result yet"

    @classmethod
    def of(cls, status: str) -> Self:
        """Of a call that is in this state."""
        return cls(f"{cls.default_message}: its status is {status}")


class InvalidPriorityError(InvalidError):
    slug = "priority_invalid"
    default_message = "Millrace-Priority is out of range. It should be between 0 and 2"


class InvalidDelayError(InvalidError):
    slug = "delay_invalid"
    default_message = "Millrace-Delay is out of range. It should be between 0 and 2592000 seconds"


class InvalidTimeoutError(InvalidError):
    slug = "timeout_invalid"
    default_message = "timeout is out of range. It should be between 1 and 3600 seconds"


class InvalidMethodError(InvalidError):
    slug = "method_invalid"
    default_message = "method is not an HTTP method"


class InvalidCallHeadersError(InvalidError):
    slug = "call_headers_invalid"
    default_message = "Invalid headers"


class InvalidCallsError(InvalidError):
    slug = "calls_invalid"
    default_message = "calls should be 1 to 1000 calls"


class UnknownFieldError(InvalidError):
    slug = "unknown_field"
    default_message = "Unknown field"

    @classmethod
    def of(cls, name: str, known: Iterable[str], place: str = "") -> Self:
        """Of a member *name* of the object at *place*, which has the members *known*."""
        known = sorted(known)
        field = f"{place}.{name}" if place else name
        hint = did_you_mean(name, known) or f" Known are {', '.join(known)}."
        return cls(field=field[:MAX_NAME_CHARS], detail=f"{one_line(field)}.{hint}")


class UnknownParameterError(InvalidError):
    slug = "unknown_parameter"
    default_message = "Unknown query parameter"

    @classmethod
    def of(cls, name: str, known: Iterable[str]) -> Self:
        """Of a member *name* of a query that may have the members *known*."""
        known = sorted(known)
        listed = f" Known are {', '.join(known)}." if known else " There are none here."
        return cls(
            field=name[:MAX_NAME_CHARS], detail=f"{one_line(name)}.{did_you_mean(name, known) or listed}"
        )


class InvalidIdempotencyKeyError(InvalidError):
    slug = "invalid_idempotency_key"
    default_message = "Idempotency-Key should be 1 to 255 visible ASCII characters"


class IdempotencyKeyReusedError(ConflictError):
    slug = "idempotency_key_reused"
    default_message = "Idempotency-Key was used for another request"


class InvalidConfigError(InvalidError):
    slug = "config_invalid"
    default_message = (
        "Config keys must be non-empty and hold no '=', and neither keys nor values may hold NUL"
    )


class InvalidHeadersError(InvalidError):
    slug = "route_headers_invalid"
    default_message = "Invalid route Headers"


class RoutesInvalidImageError(InvalidError):
    slug = "route_image_invalid"
    default_message = "Invalid route Image"


class RoutesImageNotAllowedError(InvalidError):
    slug = "route_image_not_allowed"
    default_message = "Images of this registry are not allowed"


class RoutesWritableRootNotAllowedError(InvalidError):
    slug = "route_writable_root_not_allowed"
    default_message = "Only a token of scope admin may give a route a writable root"


class RoutesInvalidJSONFramingError(InvalidError):
    slug = "route_json_framing_invalid"
    default_message = "Invalid route json_framing"


class RoutesInvalidBodyEncodingError(InvalidError):
    slug = "route_body_encoding_invalid"
    default_message = "Invalid route body_encoding"


class RoutesInvalidRetryError(InvalidError):
    slug = "route_retry_invalid"
    default_message = "Invalid route retry"


class RoutesInvalidMaxAgeError(InvalidError):
    slug = "route_max_age_invalid"
    default_message = "max_age value is out of range. It should be between 0 and 2592000"


class RoutesInvalidNetworkError(InvalidError):
    slug = "route_network_invalid"
    default_message = "Invalid route network"


class BodyNotTextError(InvalidError):
    slug = "body_not_text"
    default_message = "Request body is not UTF-8 text, and the route's body_encoding is not base64"


class InvalidStatusError(InvalidError):
    slug = "status_invalid"
    default_message = "Invalid call status"


class InvalidCursorError(InvalidError):
    slug = "cursor_invalid"
    default_message = "cursor is not the id of a call"


class InvalidSelectionError(InvalidError):
    slug = "selection_invalid"
    default_message = 'Say which calls: one of {"ids": […]}, {"app": "…"} and {"all": true}'


class InvalidLimitError(InvalidError):
    slug = "limit_invalid"
    default_message = "limit is out of range. It should be between 1 and 500"


class InvalidWaitError(InvalidError):
    slug = "wait_invalid"
    default_message = "wait is out of range. It should be between 0 and 60 seconds"


class InvalidFollowError(InvalidError):
    slug = "follow_invalid"
    default_message = "A log can't be followed with timestamps"


class BodyTooLargeError(InvalidError):
    slug = "body_too_large"
    default_message = "Request body too large"


class HostMalformedError(InvalidError):
    slug = "host_malformed"
    default_message = "Host malformed"


class ForeignHostError(InvalidError):
    slug = "foreign_host"
    default_message = (
        "Host is not served here without tokens: ask for localhost, 127.0.0.1 or [::1], or create a token on the"
        " machine of the api (`millrace tokens create NAME --scope admin`) and send it as `Authorization: Bearer TOKEN`"
    )


class ForeignOriginError(InvalidError):
    slug = "foreign_origin"
    default_message = (
        "Requests of other origins are refused without tokens: list the origin in MILLRACE_CORS_ORIGINS of the api, or"
        " create a token (`millrace tokens create NAME --scope admin`)"
    )


class ForeignClientError(InvalidError):
    slug = "foreign_client"
    default_message = (
        "Only this machine is served without tokens: create one on the machine of the api"
        " (`millrace tokens create NAME --scope admin`) and send it as `Authorization: Bearer TOKEN`"
    )


class ServiceWorkerRefusedError(InvalidError):
    """A service worker that a function wrote would stand between its origin and everybody who opens a page there."""

    slug = "service_worker_refused"
    default_message = "Scripts of service workers are not served"


class UnauthorizedError(InvalidError):
    slug = "unauthorized"
    default_message = (
        "A valid token is needed: send one as `Authorization: Bearer TOKEN`. Whoever has a token of scope admin can"
        " create it: `millrace tokens create NAME --scope invoke --app APP`"
    )


class ForbiddenError(InvalidError):
    slug = "forbidden"
    default_message = (
        "The token may not do this: it is of another app, or of a smaller scope than this request needs"
    )


class PriorityNotAllowedError(InvalidError):
    slug = "priority_not_allowed"
    default_message = "The token may not give its calls this priority"


class RateLimitedError(UnavailableError):
    """``retry_after_s``: when the next request is let through, if none comes before."""

    slug = "rate_limited"
    default_message = "Too many requests: ask again after the seconds in Retry-After"

    def __init__(self, retry_after_s: float = 0.0) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class InvalidTokenError(InvalidError):
    slug = "token_invalid"
    default_message = "Invalid token"


class TokenNotFoundError(NotFoundError):
    slug = "token_not_found"
    default_message = "Token not found"


class FirstTokenError(ConflictError):
    slug = "first_token_not_admin"
    default_message = "The first token must be of scope admin: else nobody could create another one"


class LastAdminTokenError(ConflictError):
    slug = "last_admin_token"
    default_message = (
        "The last token of scope admin is revoked last: revoke the others first, or create another"
    )


class TooManyTokensError(ConflictError):
    slug = "too_many_tokens"
    default_message = "There are as many tokens as there may be (1000): revoke one first"


class MethodNotAllowedError(InvalidError):
    slug = "method_not_allowed"
    default_message = "Method not allowed"


class NotAcceptableError(InvalidError):
    slug = "not_acceptable"
    default_message = "unable to respond within acceptable response content types"


class QueueFullError(UnavailableError):
    slug = "queue_full"
    default_message = "Queue is full: MILLRACE_QUEUE_MAX_CALLS calls wait. Ask again later"


class TooManyAppsError(ConflictError):
    slug = "too_many_apps"
    default_message = "There are as many apps as there may be: delete one first"


class TooManyRoutesError(ConflictError):
    slug = "too_many_routes"
    default_message = "The app has as many routes as it may have: delete one first"


class QuotaExceededError(UnavailableError):
    """An app has all that it may have. ``retry_after_s``: when it may have less."""

    retry_after_s: ClassVar[float] = 15.0


class AppCallsFullError(QuotaExceededError):
    slug = "app_calls_full"
    default_message = "The app has as many calls that have not ended as it may have"


class AppSyncCallsFullError(QuotaExceededError):
    slug = "app_sync_calls_full"
    default_message = "The app has as many sync calls under way as it may have"
    retry_after_s = 1.0


class AppStorageFullError(QuotaExceededError):
    slug = "app_storage_full"
    default_message = "The app has as much stored as it may have"
    retry_after_s = 60.0


class QueuePausedError(UnavailableError):
    """A sync call, which nobody would take."""

    slug = "queue_paused"
    default_message = "The queue is paused: sync calls are not run until it is resumed"


class QueueUnavailableError(UnavailableError):
    """``may_have_happened``: False where it is certain that what was asked for was not done."""

    slug = "queue_unavailable"
    default_message = "Queue is unavailable: Redis does not answer. Ask again in a few seconds"

    def __init__(self, *, may_have_happened: bool = True) -> None:
        super().__init__()
        self.may_have_happened = may_have_happened


class RecordPendingError(UnavailableError):
    """A sync call that runs, or has just ended: it is recorded soon."""

    slug = "record_pending"
    default_message = "The call has no record yet: ask again"


class ShuttingDownError(UnavailableError):
    """A sync call whose api ended before a worker had taken the call."""

    slug = "shutting_down"
    default_message = "The api process is shutting down; the call was not started"


class TooManyFollowersError(UnavailableError):
    slug = "too_many_followers"
    default_message = "Too many clients follow calls"


class QueueLostError(UnavailableError):
    slug = "queue_lost"
    default_message = "Queue lost its data and is being restored: ask again in a few seconds"


class StoreUnavailableError(UnavailableError):
    slug = "store_unavailable"
    default_message = "Datastore is unavailable: Postgres does not answer. Ask again in a few seconds"


class RebuildUnderWayError(ConflictError):
    slug = "rebuild_under_way"
    default_message = "The queue is being restored by another process: wait until that has ended"


class NotReservedError(ConflictError):
    slug = "not_reserved"
    default_message = "Call is not reserved with this token"


class EngineUnavailableError(UnavailableError):
    slug = "engine_unavailable"
    default_message = "Container engine is unavailable"


class ContainerVanishedError(UnavailableError):
    slug = "container_vanished"
    default_message = "Container vanished while its call ran"


class SchemaTooNewError(FatalError):
    slug = "schema_too_new"
    default_message = "Database schema is newer than this version of Millrace: install one that is as new"


class SchemaChangedError(FatalError):
    slug = "schema_changed"
    default_message = (
        "An applied migration differs from the one of this version: use the version that made this database, or another"
        " database"
    )


class ServerUnusableError(FatalError):
    """A Postgres or a Redis that can't be used, and that waiting does not change: password, rights, version, …"""

    slug = "server_unusable"
    default_message = "A server can't be used"


class EvictingRedisError(FatalError):
    slug = "redis_evicts"
    default_message = "Redis may evict keys: set maxmemory-policy to noeviction"


class SettingsError(FatalError):
    slug = "settings_invalid"
    default_message = "Invalid settings"
