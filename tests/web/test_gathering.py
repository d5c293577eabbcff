"""What reaches a transport, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from palimpsest.web.gathering import GATHERED_BYTES_MAX, Gathering, Turn

pytestmark = pytest.mark.anyio


class Wire(asyncio.Transport):
    """Notes what was written, piece by piece."""

    def __init__(self, written: list[bytes]) -> None:
        super().__init__()
        self.written = written
        self.is_over = False

    def write(self, data: Any) -> None:
        assert not self.is_over, "written to what is closed"
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        self.is_over = True

    abort = close


async def test_what_is_written_in_one_turn_leaves_in_one_piece_when_it_ends() -> None:
    written: list[bytes] = []
    transport = Gathering(Wire(written), Turn(asyncio.get_running_loop()))
    for piece in (b"head", b"", b"body"):
        transport.write(piece)
    assert written == []
    await asyncio.sleep(0)
    assert written == [b"headbody"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert written == [b"headbody", b"next"]


async def test_transports_of_one_turn_are_written_to_in_their_order() -> None:
    written: list[bytes] = []
    turn = Turn(asyncio.get_running_loop())
    transports = [Gathering(Wire(written), turn) for _ in range(3)]
    for number in (2, 0, 1, 0):
        transports[number].write(b"%d" % number)
    await asyncio.sleep(0)
    assert written == [b"2", b"00", b"1"]


async def test_what_is_much_does_not_wait_so_that_a_full_transport_can_say_so() -> None:
    written: list[bytes] = []
    transport = Gathering(Wire(written), Turn(asyncio.get_running_loop()))
    transport.write(b"x" * GATHERED_BYTES_MAX)
    assert written == []
    transport.write(b"yz")
    assert written == [b"x" * GATHERED_BYTES_MAX + b"yz"]
    transport.write(b"rest")
    await asyncio.sleep(0)
    assert written[1:] == [b"rest"]


async def test_closing_writes_what_was_gathered_first() -> None:
    written: list[bytes] = []
    transport = Gathering(Wire(written), Turn(asyncio.get_running_loop()))
    transport.write(b"last words")
    transport.close()
    assert (written, transport.is_closing()) == ([b"last words"], True)
    await asyncio.sleep(0)
    assert len(written) == 1


@pytest.mark.parametrize("end", ["abort", "peer"])
async def test_one_that_ended_meanwhile_does_not_keep_others_from_being_written_to(end: str) -> None:
    written: list[bytes] = []
    turn = Turn(asyncio.get_running_loop())
    wire = Wire(written)
    gone, other = Gathering(wire, turn), Gathering(Wire(written), turn)
    gone.write(b"dropped")
    other.write(b"kept")
    (gone.abort if end == "abort" else wire.close)()
    await asyncio.sleep(0)
    assert written == [b"kept"]
