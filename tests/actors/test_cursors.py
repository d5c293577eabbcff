"""What a cursor says."""

from __future__ import annotations

import pytest

from palimpsest.actors.cursors import compacted_in_view, cursor_of, position_after
from palimpsest.errors import Compacted, CursorInvalid, ViewChanged
from palimpsest.protocol.cursor import decode_cursor
from palimpsest.state.definitions import Perspective
from palimpsest.state.lens import Lens, make_lens

EPOCH, OTHER = "0123456789abcdef", "f" * 16
END = 10


def lens_of(*include: str) -> Lens:
    return make_lens({"p": Perspective(name="p", include=include)}, "p")


TITLES, BODIES = lens_of("title"), lens_of("body")


@pytest.mark.parametrize("lens", [None, TITLES], ids=["documents", "view"])
@pytest.mark.parametrize("position", [0, END - 1])
def test_it_goes_on_behind_its_position(lens: Lens | None, position: int) -> None:
    assert position_after(cursor_of(EPOCH, lens, position), EPOCH, lens, END) == position + 1


@pytest.mark.parametrize(("of", "through"), [(None, TITLES), (TITLES, None), (TITLES, BODIES)])
def test_of_another_view(of: Lens | None, through: Lens | None) -> None:
    cursor = cursor_of(EPOCH, of, 5)
    with pytest.raises(ViewChanged) as caught:
        position_after(cursor, EPOCH, through, END)
    assert caught.value.cursor == cursor
    assert position_after(cursor_of(EPOCH, of, 0), EPOCH, through, END) == 1, "nothing was seen of it yet"


@pytest.mark.parametrize(("epoch", "position"), [(OTHER, 5), (OTHER, 0), (EPOCH, END)])
@pytest.mark.parametrize("lens", [None, TITLES], ids=["documents", "view"])
def test_of_another_journal(lens: Lens | None, epoch: str, position: int) -> None:
    with pytest.raises(CursorInvalid):
        position_after(cursor_of(epoch, lens, position), EPOCH, lens, END)


def test_what_is_not_kept_any_more_is_told_in_cursors_of_the_view() -> None:
    error = Compacted("gone", cursor=cursor_of(EPOCH, None, 3), oldest=cursor_of(EPOCH, None, 7))
    told = compacted_in_view(error, EPOCH, TITLES)
    assert told.message == "gone"
    assert (told.cursor, told.oldest) == (cursor_of(EPOCH, TITLES, 3), cursor_of(EPOCH, TITLES, 7))
    assert decode_cursor(told.oldest)[1] == 7
