"""What made an error happen, in words for the worker's own log. Never for callers."""


def cause_of(error: BaseException) -> str:
    """The cause's own words, or its name where it has none (a time-out says nothing)."""
    cause = error.__cause__ or error
    return str(cause) or repr(cause)
