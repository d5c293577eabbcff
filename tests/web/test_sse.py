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


def test_each_message_is_encoded_once() -> None:
    frames, made = Frames(1_000), []
    message, other = Message(), Message()

    def make() -> bytes:
        made.append(1)
        return b"%d" % len(made)

    assert [frames.get(message, False, make) for _ in range(3)] == [b"1", b"1", b"1"]
    assert frames.get(message, True, make) == b"2"
    assert frames.get(other, False, make) == b"3"
    assert frames.get(message, True, make) == b"2"
    assert len(made) == 3


def test_the_oldest_is_forgotten_beyond_the_bound() -> None:
    frames = Frames(100)
    messages = [Message() for _ in range(5)]
    for message in messages:
        frames.get(message, False, lambda: b"x" * 40)
    assert frames.bytes <= 100
    assert frames.get(messages[-1], False, lambda: b"anew") == b"x" * 40
    assert frames.get(messages[0], False, lambda: b"anew") == b"anew"


def test_what_is_larger_than_the_bound_is_made_and_not_kept() -> None:
    frames = Frames(10)
    message = Message()
    assert frames.get(message, False, lambda: b"x" * 40) == b"x" * 40
    assert frames.bytes == 0
    assert frames.get(message, False, lambda: b"anew") == b"anew"
