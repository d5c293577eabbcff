"""One named subscription in use: what it follows, what it keeps in memory, and how it stands."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from palimpsest.actors.group import Group, Member, info_of
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import encode_cursor
from palimpsest.state.subscriptions import Kept, Letter
from palimpsest.state.system import SUBSCRIPTIONS
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Event
from palimpsest.words import MAIN, Meta

EPOCH = "0123456789abcdef"
LETTER = Letter(document="a", branch="main", version=1, tries=5, reason="no")


class Line:
    """A connection that hears nothing."""

    paused = False

    def reply(self, message: object) -> None:
        raise AssertionError(message)

    def push(self, encoded: bytes) -> None:
        raise AssertionError(encoded)


def kept(**fields: Any) -> Kept:
    return Kept(**{"pattern": "*", "cursor": encode_cursor(EPOCH, 0), **fields})


def group(**fields: Any) -> Group:
    return Group("work", kept(**fields), EPOCH, 100, Limits())


def row(position: int, document: str = "a", **fields: Any) -> Row:
    what = {"branch": MAIN, "version": position, "kind": 1, "at": 0, "delta": Raw(b"\x90"), "origin": "", "request": 0}
    return Row(position, Event(document, **{**what, **fields}))


def test_what_is_noted() -> None:
    one = group()
    assert one.note(1) == (one.kept, None)
    for position in (1, 2, 4):
        one.offer(row(position))
    one.sharing.ack([2], 0)
    note, delta = one.note(5)
    assert (note.cursor, note.done) == (encode_cursor(EPOCH, 0), ((2, 3),))
    assert delta is not None
    one.sharing.ack([1], 0)
    one.live = True
    assert one.note(9)[0].cursor == encode_cursor(EPOCH, 3)
    one.sharing.ack([4], 0)
    assert one.note(9)[0].cursor == encode_cursor(EPOCH, 8)


def test_what_is_followed() -> None:
    one = group(tags=("x",))
    tagged = Meta(tags=("x",))
    assert one.follows(row(1, meta=tagged).event)
    assert not one.follows(row(1).event)
    assert not one.follows(row(1, meta=tagged, branch="draft").event)
    assert not one.follows(row(1, "a/b", meta=tagged).event)
    own = Group("work", kept(pattern="$system/**"), EPOCH, 100, Limits())
    assert own.follows(row(1, "$system/retention/a").event)
    assert not own.follows(row(1, SUBSCRIPTIONS + "work").event)


def test_rows_are_kept_for_what_is_open() -> None:
    one = group()
    for position in range(1, 100):
        one.offer(row(position))
    member = Member(m.Subscribe(1, 1, "*"), Line(), 1000)
    one.sharing.join(member)
    found = one.sharing.deliver(0)
    assert found is not None
    assert one.row(found[1]) is not None
    one.erased()
    assert one.row(found[1]) is None
    for position in range(100, 200):
        one.offer(row(position))
    one.sharing.ack(range(1, 200), 0)
    one.closed([100, 100])
    one.tidy()
    one.offer(row(200))
    assert list(one._rows) == [200]


def test_what_may_hold_what_was_erased_is_not_kept() -> None:
    one = group()
    one.offer(row(1), is_kept=False)
    one.offer(row(2))
    assert list(one._rows) == [2]
    assert one.sharing.open == 2


def test_a_worker_is_served_while_it_has_credit() -> None:
    line = Line()
    member = Member(m.Subscribe(1, 1, "*"), line, 1)
    assert member.is_served
    line.paused = True
    assert not member.is_served
    line.paused, member.credit_bytes = False, 0
    assert not member.is_served


def test_how_it_stands() -> None:
    dead = {7: LETTER}
    info = info_of("work", kept(dead=dead), None, 10, letters=True)
    letter = m.DeadLetter(7, "a", "main", 1, 5, "no")
    assert info == m.SubscriptionInfo("work", "*", "main", encode_cursor(EPOCH, 0), 9, 0, 0, 1, (letter,))
    assert info_of("work", kept(dead=dead), group(), 10, letters=False).dead == 0
