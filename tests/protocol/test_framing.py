"""Frames: cut whole, byte by byte, and with more behind them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.errors import FrameTooLarge
from palimpsest.protocol import messages as m
from palimpsest.protocol.framing import FrameReader, encode_frames, encode_message, join_frames

PONGS: list[m.Message] = [m.Pong(id) for id in (1, 200, 70_000)]


def payloads(data: bytes) -> list[list[object]]:
    return [msgspec.msgpack.decode(payload) for payload in FrameReader().receive(data)]


def test_one_frame_holds_all_messages() -> None:
    data = encode_frames(PONGS)
    assert payloads(data) == [[[1, 1], [1, 200], [1, 70_000]]]


def test_length_is_big_endian_and_of_the_payload_alone() -> None:
    assert encode_frames([m.Pong(1)]) == b"\x00\x00\x00\x04\x91\x92\x01\x01"


def test_messages_that_exceed_a_frame_are_spread_over_several_in_order() -> None:
    messages = [m.Pong(id) for id in range(100)]
    data = encode_frames(messages, frame_bytes_max=40)
    frames = payloads(data)
    assert len(frames) > 1
    assert [message for frame in frames for message in frame] == [[1, id] for id in range(100)]
    assert all(len(payload) <= 40 for payload in FrameReader().receive(data))


def test_a_message_that_exceeds_a_frame_is_refused_with_numbers() -> None:
    with pytest.raises(FrameTooLarge, match="frame_bytes_max") as caught:
        encode_frames([m.Pong(1), m.Names(1, ("x" * 100,), False)], frame_bytes_max=50)
    assert caught.value.frame_bytes > 50
    assert caught.value.frame_bytes_max == 50


def test_a_payload_of_exactly_the_maximum_is_fine() -> None:
    data = encode_frames(PONGS)
    length = len(data) - 4
    assert encode_frames(PONGS, frame_bytes_max=length) == data
    assert FrameReader(frame_bytes_max=length).receive(data) == [data[4:]]
    reader = FrameReader(frame_bytes_max=length - 1)
    assert reader.receive(data) == []
    assert reader.error is not None
    assert (reader.error.frame_bytes, reader.error.frame_bytes_max) == (length, length - 1)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 65_535, 65_536])
def test_joined_frames_are_what_encoding_them_together_gives(count: int) -> None:
    messages = [m.Pong(1)] * count
    assert join_frames([encode_message(message) for message in messages]) == encode_frames(messages)


def test_payloads_do_not_share_the_buffer_of_the_caller() -> None:
    reader = FrameReader()
    data = encode_frames(PONGS)
    (payload,) = reader.receive(data)
    assert type(payload) is bytes
    assert payload == data[4:]


def test_an_announced_length_costs_nothing() -> None:
    reader = FrameReader()
    assert reader.receive(b"\x00\xff\xff\xff") == []
    assert reader.buffered_bytes == 4


def test_payloads_before_a_frame_that_is_too_large_are_kept() -> None:
    reader = FrameReader(frame_bytes_max=100)
    assert reader.receive(encode_frames([m.Pong(1)]) + b"\xff\xff\xff\xff") == [b"\x91\x92\x01\x01"]
    assert reader.error is not None


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 400), max_size=20))
def test_however_a_stream_is_cut_the_payloads_are_the_same(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    reader, found, start = FrameReader(), [], 0
    for cut in [*cuts, len(stream)]:
        found += reader.receive(stream[start : start + cut])
        start += cut
    found += reader.receive(stream[start:])
    assert found == bodies
    assert reader.buffered_bytes == 0
