"""The one error of the embedded servers: what is wrong and what to do about it, for a person to read."""

from common.errors import FatalError


class LocalServerError(FatalError):
    """An embedded server can't be started or used as things are."""

    slug = "local_server_failed"
    default_message = "An embedded server could not be started"
