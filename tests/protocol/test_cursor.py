from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.errors import CursorInvalid
from palimpsest.protocol.cursor import POSITION_MAX, decode_cursor, encode_cursor, is_epoch

EPOCH = "0123456789abcdef"


@given(st.integers(0, 2**64 - 1), st.integers(0, POSITION_MAX))
def test_round_trip(epoch: int, position: int) -> None:
    cursor = encode_cursor(f"{epoch:016x}", position)
    assert decode_cursor(cursor) == (f"{epoch:016x}", position)
    assert cursor.startswith("1")
    assert cursor.replace(".", "").isalnum()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "2" + EPOCH + ".1",
        "1" + EPOCH,
        "1" + EPOCH + ".",
        "1" + EPOCH + ".01",
        "1" + EPOCH + ".A",
        "1" + EPOCH.upper() + ".1",
        "1" + EPOCH + ".1\n",
        "1" + EPOCH + ".1.2",
        "1" + EPOCH + ".8000000000000000",
        "1" + EPOCH + ".-1",
        "1" + EPOCH + ".\u0661",
        "x" * 100_000,
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(CursorInvalid) as caught:
        decode_cursor(text)
    assert len(caught.value.cursor) <= 65


@given(st.text())
def test_only_what_was_encoded_decodes(text: str) -> None:
    try:
        epoch, position = decode_cursor(text)
    except CursorInvalid:
        return
    assert encode_cursor(epoch, position) == text


def test_epochs() -> None:
    assert is_epoch(EPOCH)
    assert not is_epoch(EPOCH[1:])
    assert not is_epoch(EPOCH + "0")
    assert not is_epoch("g" * 16)
