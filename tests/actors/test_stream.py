"""One document branch, purely: what a command makes of it, and that a command that is refused makes nothing of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from palimpsest.actors.stream import Stream, check_meta
from palimpsest.errors import (
    DeltaFailed,
    DocumentExists,
    DocumentNotFound,
    InvalidRequest,
    InvalidValue,
    LimitExceeded,
    PalimpsestError,
    VersionConflict,
)
from palimpsest.limits import Limits
from palimpsest.protocol.messages import Create, Delete, Update
from palimpsest.storage.contracts import Head, Row, Snapshot, Stretch
from palimpsest.storage.events import Event
from palimpsest.words import Kind, Meta


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


def plain(data: bytes | Raw) -> Any:
    return msgspec.msgpack.decode(data)


def stream(value: object = None, **limits: int) -> Stream:
    """A stream at version 1, of this value."""
    made = Stream("a", "main", Limits(**limits))
    made.decide_create(Create(1, "a", raw(value)), "ana", 100)
    return made


def replayed(events: list[Event]) -> Stream:
    again = Stream("a", "main", Limits())
    for position, event in enumerate(events, 1):
        again.replay(Row(position, event))
    return again


def test_events_say_what_was_asked() -> None:
    made = Stream("a", "main", Limits())
    meta = Meta("ana", "why", ("x", "y"))
    created = made.decide_create(Create(1, "a", raw({"n": 1}), meta=meta, key="k"), "client", 100, more=2)
    assert created == Event("a", "main", 1, 0, 100, raw([[0, [], {"n": 1}]]), "client", 1, meta, "k", 2)
    delta = raw([[3, ["n"], 1]])
    updated = made.decide_update(Update(2, "a", delta, expect=1), "client", 200)
    assert updated == Event("a", "main", 2, 1, 200, delta, "client", 2)
    deleted = made.decide_delete(Delete(3, "a", expect=2), "client", 150)
    assert deleted == Event("a", "main", 3, 2, 200, Raw(b"\x90"), "client", 3)
    assert (made.version, made.exists, made.encoded, made.working) == (3, False, None, None)


REFUSED = [
    pytest.param(Create(2, "a", raw(1)), DocumentExists, id="exists"),
    pytest.param(Update(2, "a", raw([[0, ["x"], 1]]), expect=7), VersionConflict, id="another version"),
    pytest.param(Update(2, "a", raw([[0, ["x"], 1]]), meta=Meta(tags=("b", "a"))), InvalidRequest, id="tags, update"),
    pytest.param(Delete(2, "a", meta=Meta(tags=("b", "a"))), InvalidRequest, id="tags, delete"),
    pytest.param(Delete(2, "a", expect=7), VersionConflict, id="another version, delete"),
    pytest.param(Update(2, "a", raw([[0, ["x"], 1], [1, ["absent"], 1]])), DeltaFailed, id="the second op fails"),
    pytest.param(Update(2, "a", raw([[0, ["x"], 1], [0, ["y"], 1e400]])), InvalidValue, id="the second op is no value"),
    pytest.param(Update(2, "a", raw([[0, ["x"], "y" * 2_000]])), LimitExceeded, id="too large"),
    pytest.param(Update(2, "a", raw([[20, "add", "/x", "y" * 2_000]])), LimitExceeded, id="too large, json patch"),
]


@pytest.mark.parametrize(("message", "error"), REFUSED)
@pytest.mark.parametrize("awake", [False, True])
def test_what_is_refused_changes_nothing(message: Any, error: type[PalimpsestError], awake: bool) -> None:
    made = stream({"n": 1}, document_bytes_max=1_000)
    if not awake:
        made.cool()
    decide = {Create: made.decide_create, Update: made.decide_update, Delete: made.decide_delete}[type(message)]
    with pytest.raises(error):
        decide(message, "client", 200)
    assert (made.version, made.exists, made.at, made.meta) == (1, True, 100, None)
    assert plain(made.encoded_value()) == {"n": 1}
    made.decide_update(Update(3, "a", raw([[3, ["n"], 1]])), "client", 300)
    assert plain(made.encoded_value()) == {"n": 2}


def test_a_create_that_is_refused_makes_no_document() -> None:
    for message in (Create(1, "a", raw(1), meta=Meta(tags=("",))), Create(1, "a", raw("x" * 2_000))):
        made = Stream("a", "main", Limits(document_bytes_max=1_000))
        with pytest.raises((InvalidRequest, LimitExceeded)):
            made.decide_create(message, "client", 1)
        assert (made.version, made.exists) == (0, False)
        with pytest.raises(DocumentNotFound):
            made.view(1)


def test_what_is_deleted_can_be_neither_updated_nor_deleted_and_is_created_afresh() -> None:
    made = stream({"n": 1})
    made.decide_delete(Delete(2, "a"), "client", 200)
    for refused in (
        lambda: made.decide_update(Update(3, "a", raw([])), "client", 300),
        lambda: made.decide_delete(Delete(3, "a"), "client", 300),
        lambda: made.view(3),
    ):
        with pytest.raises(DocumentNotFound) as missing:
            refused()
        assert missing.value.version == 2
    assert made.decide_create(Create(4, "a", raw([])), "client", 400).version == 3
    assert plain(made.encoded_value()) == []


def test_a_mark_takes_back_whatever_was_decided_since() -> None:
    made = stream({"n": 1, "list": [1, 2]})
    before = (made.version, made.exists, made.at, made.encoded_value())
    mark = made.mark()
    made.decide_update(Update(2, "a", raw([[3, ["n"], 1], [5, ["list"], 3]])), "client", 200)
    made.decide_delete(Delete(3, "a"), "client", 300)
    made.decide_create(Create(4, "a", raw("new")), "client", 400)
    made.restore(mark)
    assert (made.version, made.exists, made.at, made.encoded_value()) == before
    made.decide_update(Update(5, "a", raw([[3, ["n"], 1]])), "client", 500)
    assert plain(made.encoded_value()) == {"n": 2, "list": [1, 2]}


def test_a_snapshot_and_what_follows_it_make_the_same_stream() -> None:
    made = stream({"n": 0})
    events = [
        made.decide_update(Update(id, "a", raw([[3, ["n"], 1]]), meta=Meta(f"v{id}")), "c", id) for id in range(2, 8)
    ]
    head = Head("a", "main", 7, 7, 1, made.at)
    rows = [Row(event.version, event) for event in events[2:]]
    loaded = Stream("a", "main", Limits())
    loaded.load(Stretch(head, Snapshot("a", "main", 4, bytes(raw({"n": 3}))), rows))
    assert loaded.view(1) == made.view(1)
    only = Stream("a", "main", Limits())
    only.load(Stretch(head, Snapshot("a", "main", 7, made.encoded_value()), rows[-1:]))
    assert only.view(1) == made.view(1)


DOCUMENTS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=3))
OPS = st.lists(
    st.one_of(
        st.tuples(st.just(0), st.sampled_from("abcd").map(lambda key: [key]), st.integers(0, 9)),
        st.tuples(st.just(2), st.sampled_from("abcd").map(lambda key: [key])),
        st.tuples(st.just(3), st.sampled_from("abcd").map(lambda key: [key]), st.integers(-5, 5)),
        st.tuples(st.just(5), st.sampled_from("abcd").map(lambda key: [key]), st.integers(0, 9)),
        st.tuples(st.just(21), DOCUMENTS),
    ),
    max_size=4,
)
COMMANDS = st.lists(
    st.one_of(
        st.builds(lambda value: Create(1, "a", raw(value)), DOCUMENTS),
        st.builds(lambda ops: Update(1, "a", raw(ops)), OPS),
        st.just(Delete(1, "a")),
        st.sampled_from(["cool", "read", "mark"]),
    ),
    max_size=30,
)


@given(COMMANDS)
@settings(max_examples=60, deadline=None)
def test_the_events_alone_make_the_same_document(commands: list[Any]) -> None:
    """Whatever was read, cooled or rolled back in between, and whatever was refused."""
    made = Stream("a", "main", Limits())
    events: list[Event] = []
    mark, kept = made.mark(), 0
    for command in commands:
        try:
            if isinstance(command, Create):
                events.append(made.decide_create(command, "c", 1))
            elif isinstance(command, Update):
                events.append(made.decide_update(command, "c", 1))
            elif isinstance(command, Delete):
                events.append(made.decide_delete(command, "c", 1))
            elif command == "cool":
                made.cool()
            elif command == "read":
                made.view(1)
            else:
                made.restore(mark)
                del events[kept:]
                mark, kept = made.mark(), len(events)
        except PalimpsestError:
            pass
    assert [event.version for event in events] == list(range(1, len(events) + 1))
    again = replayed(events)
    assert (again.version, again.exists, again.kind) == (made.version, made.exists, made.kind)
    if made.exists:
        assert again.encoded_value() == made.encoded_value()
        assert made.bytes_bound >= len(made.encoded_value())


@given(st.lists(OPS, max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_bound_of_a_value_is_never_less_than_its_size(deltas: list[Any]) -> None:
    made = stream({})
    for ops in deltas:
        try:
            made.decide_update(Update(1, "a", raw(ops)), "c", 1)
        except PalimpsestError:
            continue
        bound = made.bytes_bound
        copy = Stream("a", "main", Limits())
        copy.restore(made.mark())
        assert len(copy.encoded_value()) <= bound


@pytest.mark.parametrize("tags", [("b", "a"), ("a", "a"), ("",), ("", "a")])
def test_tags_are_sorted_without_repeats_and_not_empty(tags: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest):
        check_meta(Meta(tags=tags), Limits())


def test_what_an_author_says_is_bounded() -> None:
    check_meta(Meta("ana", "x" * (Limits().meta_bytes_max - 5), ("aa",)), Limits())
    with pytest.raises(LimitExceeded):
        check_meta(Meta("ana", "x" * (Limits().meta_bytes_max - 4), ("aa",)), Limits())
    with pytest.raises(LimitExceeded):
        check_meta(Meta(tags=tuple(f"{number:04}" for number in range(Limits().meta_tags_max + 1))), Limits())


def test_kinds_are_those_on_disk() -> None:
    assert [(kind.name, kind.value) for kind in Kind] == [("CREATE", 0), ("UPDATE", 1), ("DELETE", 2), ("ERASE", 3)]
