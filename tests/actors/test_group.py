"""One named subscription: what it follows, and what is written down of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from palimpsest.actors.group import Group, Member, check_cursor, difference, info_of, kept_of
from palimpsest.errors import CursorInvalid, InvalidRequest
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import encode_cursor
from palimpsest.state.delta import Delta
from palimpsest.state.subscriptions import Kept, Letter, parse_subscription, to_value
from palimpsest.state.system import SUBSCRIPTIONS
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Event
from palimpsest.words import MAIN, Meta

EPOCH = "0123456789abcdef"
LETTER = Letter(document="a", branch="main", version=1, tries=5, reason="no")

positions = st.integers(1, 30)
notes = st.builds(
    Kept,
    pattern=st.just("*"),
    cursor=st.integers(0, 30).map(lambda position: encode_cursor(EPOCH, position)),
    done=st.lists(st.tuples(positions, positions), max_size=3).map(tuple),
    tries=st.dictionaries(positions, positions, max_size=3),
    dead=st.dictionaries(positions, st.sampled_from([LETTER, msgspec.structs.replace(LETTER, again=True)]), max_size=3),
)


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


@given(notes, notes)
def test_a_note_makes_one_of_the_other(before: Kept, after: Kept) -> None:
    value = Delta.from_ops(difference(before, after)).apply(to_value(before))
    assert parse_subscription(value) == after
    assert difference(after, after) == []


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


def test_a_worker_is_served_while_it_has_credit() -> None:
    line = Line()
    member = Member(m.Subscribe(1, 1, "*"), line, 1)
    assert member.is_served
    line.paused = True
    assert not member.is_served
    line.paused, member.credit_bytes = False, 0
    assert not member.is_served


def test_the_same_is_asked_for_in_any_order() -> None:
    message = m.Subscribe(1, 1, "*", tags=("b", "a", "b"), kinds=(2, 0))
    assert kept_of(message, "c") == Kept(pattern="*", cursor="c", tags=("a", "b"), kinds=(0, 2))
    one = group(tags=("a", "b"), kinds=(0, 2))
    one.check_same(kept_of(message, ""))
    with pytest.raises(InvalidRequest, match="by is None, not 'ana'"):
        one.check_same(kept_of(msgspec.structs.replace(message, by="ana"), ""))


def test_a_place_in_another_log() -> None:
    assert check_cursor("a", encode_cursor(EPOCH, 5), EPOCH, 6) == 5
    for cursor, end in ((encode_cursor("f" * 16, 5), 6), (encode_cursor(EPOCH, 5), 5)):
        with pytest.raises(CursorInvalid, match="delete it"):
            check_cursor("a", cursor, EPOCH, end)


def test_how_it_stands() -> None:
    dead = {7: LETTER}
    info = info_of("work", kept(dead=dead), None, 10, letters=True)
    letter = m.DeadLetter(7, "a", "main", 1, 5, "no")
    assert info == m.SubscriptionInfo("work", "*", "main", encode_cursor(EPOCH, 0), 9, 0, 0, 1, (letter,))
    assert info_of("work", kept(dead=dead), group(), 10, letters=False).dead == 0
