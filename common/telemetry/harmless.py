"""Text of users for people's eyes: control characters are shown as text, so that they do nothing to a terminal.

Escape sequences change a terminal's title, colours, clipboard, or what was printed before.
"""

import re

# C0 but tab and newline, DEL, C1; then what reorders text (bidi), line and paragraph separators, and lone surrogates.
ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    r"""*text* with each control character as an escape, like ``\x1b``; tab and newline stay."""
    return ACTIVE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """As ``harmless``, with newlines as escapes, too: nothing in *text* can look like a line of its own."""
    return harmless(text).replace("\n", "\\n")
