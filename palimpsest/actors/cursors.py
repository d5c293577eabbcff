"""What a cursor says: of which journal it is, of which view of it, and how far it reaches."""

from __future__ import annotations

from palimpsest.errors import Compacted, CursorInvalid, ViewChanged
from palimpsest.protocol.cursor import decode_cursor, encode_cursor
from palimpsest.state.lens import Lens


def cursor_of(epoch: str, lens: Lens | None, position: int) -> str:
    """Of what is seen through the lens, up to position."""
    return encode_cursor(epoch if lens is None else f"{epoch}-{lens.digest}", position)


def position_after(cursor: str, epoch: str, lens: Lens | None, end: int) -> int:
    """The first position after the cursor. end: the first position that is not durable. Raises CursorInvalid where it is of another
    journal, ViewChanged where it is of another view."""
    found, position = decode_cursor(cursor)
    found, _, view = found.partition("-")
    if position and view != ("" if lens is None else lens.digest):
        raise view_changed(lens, cursor)
    if found != epoch or position >= end:
        raise CursorInvalid(f"cursor {cursor!r} is of another journal than this one", cursor=cursor)
    return position + 1


def compacted_in_view(error: Compacted, epoch: str, lens: Lens) -> Compacted:
    """The error as those have it whose cursors are of what the lens shows."""
    positions = (decode_cursor(cursor)[1] for cursor in (error.cursor, error.oldest))
    cursor, oldest = (cursor_of(epoch, lens, position) for position in positions)
    return Compacted(error.message, cursor=cursor, oldest=oldest)


def view_changed(lens: Lens | None, cursor: str = "") -> ViewChanged:
    name = "" if lens is None else lens.name
    return ViewChanged("what this subscription sees has changed", cursor=cursor, perspective=name)
