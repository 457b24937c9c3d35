"""Tell what a refusal of the container engine means. Engines have no codes for that, so the words decide."""

import re

from common.models import Detail

MAX_CHARS = 500  # of the engine's words in a record

# A container that can't be started as its image asks: every engine refuses it, and always will.
_IMAGES_FAULT = re.compile(
    r"unable to find (user|group)|no matching entries in (passwd|group) file|no users found|"
    r"no command specified|executable file not found|exec format error|exec: .*: (no such file|permission denied|"
    r"not a directory|is a directory)|"
    r"mkdir .* (not a directory|file exists)|OCI runtime .*mkdir\S* .*read-only file system|chdir to cwd|"
    r"cannot mount volume over existing file|invalid (volume|mount|working directory|user)|"
    r"the working directory .* invalid|uids and gids must be in range",
    re.IGNORECASE,
)
# The engine says the same of its own programs that are missing or broken. Then every image fails, not only this one.
_ENGINES_FAULT = re.compile(
    r"unable to retrieve OCI runtime error|"
    r"exec:? \"?\S*(runc|crun|runsc|kata-runtime|docker-init|containerd-shim\S*)\"?:",
    re.IGNORECASE,
)
_NETWORK_GONE = re.compile(r"network \S+ not found", re.IGNORECASE)
_PULLS = (
    (Detail.PULL_DENIED, re.compile(r"denied|unauthorized|authentication required|forbidden", re.IGNORECASE)),
    (
        Detail.REGISTRY_UNKNOWN,
        re.compile(r"no such host|server misbehaving|temporary failure in name", re.IGNORECASE),
    ),
    (
        Detail.REGISTRY_TIMEOUT,
        re.compile(r"timeout|timed out|deadline exceeded|Client\.Timeout|request canceled", re.IGNORECASE),
    ),
    (
        Detail.REGISTRY_UNREACHABLE,
        re.compile(
            r"connection refused|connection reset|no route to host|network is unreachable|unexpected EOF|: EOF|"
            r"x509:|tls:|http: server gave HTTP response",
            re.IGNORECASE,
        ),
    ),
    (
        Detail.IMAGE_NOT_FOUND,
        re.compile(
            r"not found|manifest unknown|no such image|does not exist|name unknown|no matching manifest",
            re.IGNORECASE,
        ),
    ),
)


def is_images_fault(answer: str) -> bool:
    """Whether the engine refused a container for what its image asks: trying again is of no use."""
    return _IMAGES_FAULT.search(answer) is not None and _ENGINES_FAULT.search(answer) is None


def is_network_gone(answer: str) -> bool:
    """Whether the engine refused a container because its network was removed."""
    return _NETWORK_GONE.search(answer) is not None


def classify_pull(answer: str) -> Detail:
    """The code for a pull that failed."""
    return next((detail for detail, words in _PULLS if words.search(answer)), Detail.PULL_FAILED)


def words(answer: str) -> str:
    """The engine's words for a record: one line of printable text, cut to MAX_CHARS."""
    line = " ".join("".join(char if char.isprintable() else " " for char in answer).split())
    return line if len(line) <= MAX_CHARS else line[: MAX_CHARS - 1] + "…"
