"""Frames, byte by byte, and the store of what was encoded."""

from __future__ import annotations

import json

import pytest

from palimpsest.web.sse import Frames, frame, opening, place


def test_a_frame() -> None:
    assert frame("state", {"state": "live"}, "1ab.2") == b'id: 1ab.2\nevent: state\ndata: {"state":"live"}\n\n'


def test_a_frame_without_a_place() -> None:
    assert frame("change", {"b": 1, "a": 2}) == b'event: change\ndata: {"a":2,"b":1}\n\n'


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "\x00", "data: x\n\nevent: y", "\u2028", "ä"])
def test_no_text_breaks_out_of_a_frame(text: str) -> None:
    made = frame("change", {"value": text, text: 1})
    assert made.count(b"\n") == 3
    assert b"\r" not in made
    data = made.decode().partition("\ndata: ")[2]
    assert json.loads(data) == {"value": text, text: 1}


def test_a_place_alone_and_the_opening_are_no_events() -> None:
    assert place("1ab.2") == b"id: 1ab.2\n\n"
    assert b"data" not in opening()
    assert opening().endswith(b"\n\n")


class Message:
    """Known by being itself."""


def test_what_is_kept_is_found_by_the_message_and_what_it_shows() -> None:
    frames, message, other = Frames(1_000), Message(), Message()
    assert frames.get(message, False) is None
    assert frames.keep(message, False, b"1") == b"1"
    assert frames.keep(message, True, b"22") == b"22"
    assert frames.get(message, False) == b"1"
    assert frames.get(message, True) == b"22"
    assert frames.get(other, False) is None
    assert frames.bytes == 3


def test_the_oldest_is_forgotten_beyond_the_bound() -> None:
    frames = Frames(100)
    messages = [Message() for _ in range(5)]
    for message in messages:
        frames.keep(message, False, b"x" * 40)
    assert [frames.get(message, False) is not None for message in messages] == [False, False, False, True, True]
    assert frames.bytes == 80


def test_what_is_larger_than_the_bound_is_not_kept() -> None:
    frames, message = Frames(10), Message()
    assert frames.keep(message, False, b"x" * 40) == b"x" * 40
    assert frames.get(message, False) is None
    assert frames.bytes == 0
