"""Cursors: places in the log, as text that a client keeps and hands back without looking inside.

The first character is the cursor's own version. Version 1 is `1`, the journal's epoch, and after a dot the position in hex; of what
is seen through a perspective, a hyphen and 16 hex digits that say which view it is follow the epoch, and belong to it. A journal in several partitions will add their positions after further dots. Only characters that need no escape in a URL or a
shell are used, and every place has exactly one text.
"""

from __future__ import annotations

import re

from palimpsest.errors import CursorInvalid

POSITION_MAX = 2**63 - 1

_epoch = re.compile(r"[0-9a-f]{16}")
_version_1 = re.compile(r"1([0-9a-f]{16}(?:-[0-9a-f]{16})?)\.(0|[1-9a-f][0-9a-f]{0,15})")


def is_epoch(text: str) -> bool:
    """Whether text is 16 hex digits, in lower case."""
    return _epoch.fullmatch(text) is not None


def encode_cursor(epoch: str, position: int) -> str:
    """The place after `position`. epoch: 16 hex digits, and those of the view; position: 0 (before everything) to 2^63 - 1."""
    return f"1{epoch}.{position:x}"


def decode_cursor(cursor: str) -> tuple[str, int]:
    """(epoch, position), as given to `encode_cursor`. Raises CursorInvalid for any other text."""
    match = _version_1.fullmatch(cursor)
    if match is None:
        raise _invalid(cursor, "it is not a cursor of this release")
    position = int(match[2], 16)
    if position > POSITION_MAX:
        raise _invalid(cursor, "its position is out of range")
    return match[1], position


def _invalid(cursor: str, reason: str) -> CursorInvalid:
    shown = cursor if len(cursor) <= 64 else cursor[:64] + "…"
    return CursorInvalid(f"cursor {shown!r} cannot be used: {reason}", cursor=shown)
