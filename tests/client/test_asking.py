from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from palimpsest.client.asking import answered, ask, ask_patiently, entry_version, following, made_version
from palimpsest.errors import UnexpectedMessage
from palimpsest.protocol import messages as m
from palimpsest.state.delta import Delta
from palimpsest.words import Kind, Meta, Parents

pytestmark = pytest.mark.anyio


async def test_a_question_gets_an_id_and_an_answer(scripted: Any, reach: Any) -> None:
    async with reach() as client:
        session = client._session
        ids = [(await ask(session, m.Pong, m.Ping(0))).id, (await ask_patiently(session, m.Pong, m.Ping(0))).id]
        assert ids[1] > ids[0] > 0
        with pytest.raises(UnexpectedMessage, match="Pong where Names"):
            await ask(session, m.Names, m.Ping(0))


async def test_a_question_waits_for_its_turn(scripted: Any, reach: Any) -> None:
    async with reach(in_flight_requests_max=1) as client:
        waiting = client._session.ask(m.Ping(client._session.next_id()))
        assert client._session.blocked
        assert isinstance(await ask(client._session, m.Pong, m.Ping(0)), m.Pong)
        assert isinstance(await ask_patiently(client._session, m.Pong, m.Ping(0)), m.Pong)
        assert waiting.done()


async def test_the_version_that_a_write_made(scripted: Any, reach: Any) -> None:
    async with reach(client_id="me") as client:
        session = client._session
        meta = Meta("ana", None, ("x",))
        answer = m.Committed(7, 3, 5, True)
        made = made_version(session, "n", "main", Kind.ERASE, answer, meta, None)
        assert (made.version, made.kind, made.by, made.tags, made.repeat) == (3, Kind.ERASE, "ana", {"x"}, True)
        assert made.request == "me:7"
        assert made_version(session, "n", "main", Kind.UPDATE, answer, meta, "own").request == "own"
        with pytest.raises(UnexpectedMessage):
            made_version(session, "n", "main", Kind.UPDATE, m.Pong(7), meta, None)


def test_answers_of_the_kind_that_is_due() -> None:
    pong = m.Pong(7)
    assert answered(m.Pong, pong) is pong


def test_the_version_of_an_entry() -> None:
    delta = Delta().set("a", 1)
    entry = m.Entry(3, 1, 5, Raw(delta.encode()), Meta("ana"), "me:7")
    made = entry_version("n", "main", entry)
    assert (made.version, made.kind, made.by, made.request, made.delta) == (3, Kind.UPDATE, "ana", "me:7", delta)
    assert entry_version("n", "main", entry, with_delta=False).delta is None
    assert (made.branch, made.parents) == ("main", None)


def test_the_version_of_an_entry_that_was_made_on_another_branch() -> None:
    parents = Parents(("main", 2), (("other", 9),))
    made = entry_version("n", "draft", m.Entry(3, 1, 5, Raw(b"\x90"), None, None, "main", parents))
    assert (made.branch, made.version, made.parents) == ("main", 3, parents)
    assert made.parents is not None
    assert (made.parents.base, made.parents.merged) == (("main", 2), (("other", 9),))


def test_where_the_next_page_of_a_history_begins() -> None:
    entries = (m.Entry(9, 1, 5, Raw(b"\x90")), m.Entry(7, 1, 5, Raw(b"\x90")))
    assert following(m.Versions(1, entries, False, 9, 4), newest_first=True) is None
    assert following(m.Versions(1, entries, True, 9, 4), newest_first=True) == 4
    assert following(m.Versions(1, (), True, 9, 4), newest_first=True) == 4
    assert following(m.Versions(1, entries, True, 9), newest_first=True) == 6
    assert following(m.Versions(1, entries[::-1], True, 9), newest_first=False) == 10
    assert following(m.Versions(1, (), True, 9), newest_first=False) is None
