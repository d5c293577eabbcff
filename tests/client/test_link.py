"""One connection from its beginning to its end."""

from __future__ import annotations

from typing import Any

import pytest

from palimpsest.client.link import Link, open_link
from palimpsest.errors import ConnectionLost, InvalidRequest, RequestTimeout, ServerClosing
from palimpsest.protocol import messages as m
from palimpsest.protocol.framing import encode_frames

pytestmark = pytest.mark.anyio


class Owner:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    def on_messages(self, messages: Any) -> None:
        self.messages += messages

    def on_writable(self, writable: bool) -> None:
        pass


async def reach(scripted: Any, owner: Owner, *, seconds: float = 5.0) -> tuple[Link, m.Welcome]:
    host, port = scripted.url.removeprefix("palimpsest://").split(":")
    return await open_link(owner, host, int(port), ("me", "secret", "test", 7), seconds=seconds, out_bytes_max=1_000)


async def test_it_says_hello_and_is_welcomed(scripted: Any) -> None:
    link, welcome = await reach(scripted, Owner())
    assert welcome.agent == "scripted"
    assert scripted.received == [m.Hello("palimpsest", 1, 1, "me", (), "secret", "test", 7)]
    link.close(ConnectionLost("done"))
    assert (await link.lost).message == "done"
    await link.wait_gone(5.0)
    await scripted.until(scripted.peers[0].transport.is_closing)


async def test_messages_reach_the_owner_and_the_goodbye_ends_it(scripted: Any) -> None:
    owner = Owner()
    link, _ = await reach(scripted, owner)
    scripted.peers[0].send(m.Pong(1), m.Pong(2), m.Goodbye(*ServerClosing("bye").to_wire()))
    assert isinstance(await link.lost, ServerClosing)
    assert owner.messages == [m.Pong(1), m.Pong(2)]
    assert link.answered
    await link.wait_gone(5.0)


@pytest.mark.parametrize(("sent", "reason"), [(b"", "closed the connection"), (b"\x00\x00", "middle of a frame")])
async def test_the_end_of_the_stream(scripted: Any, sent: bytes, reason: str) -> None:
    link, _ = await reach(scripted, Owner())
    scripted.peers[0].transport.write(sent)
    scripted.peers[0].transport.close()
    lost = await link.lost
    assert isinstance(lost, ConnectionLost)
    assert reason in lost.message


async def test_what_came_before_bytes_that_make_no_sense_is_delivered(scripted: Any) -> None:
    owner = Owner()
    link, _ = await reach(scripted, owner)
    scripted.peers[0].transport.write(encode_frames([m.Pong(1)]) + b"\xff\xff\xff\xff")
    assert (await link.lost).code == "frame_too_large"
    assert owner.messages == [m.Pong(1)]


async def test_a_refusal(scripted: Any) -> None:
    reason = InvalidRequest("no", reason="no")
    scripted.trouble = lambda peer, message: peer.send(m.Goodbye(*reason.to_wire())) is None
    with pytest.raises(InvalidRequest):
        await reach(scripted, Owner())


async def test_no_welcome_in_time(scripted: Any) -> None:
    scripted.trouble = lambda peer, message: True
    with pytest.raises(RequestTimeout, match=r"0\.01 s"):
        await reach(scripted, Owner(), seconds=0.01)
    await scripted.until(lambda: all(peer.transport.is_closing() for peer in scripted.peers))
