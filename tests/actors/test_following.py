"""Conditions beside a naive reading of what they say, and the index beside a walk over everybody."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from palimpsest.actors.following import Condition, Index
from palimpsest.errors import InvalidRequest
from palimpsest.protocol.messages import Meta, Subscribe
from palimpsest.state.names import Pattern
from palimpsest.storage.events import Event
from palimpsest.words import Kind

TAGS = st.sets(st.sampled_from(["a", "b", "c"])).map(lambda tags: tuple(sorted(tags)))
AUTHORS = st.sampled_from([None, "ana", "bo"])
KEYS = st.sampled_from(["x", "y", "z"])
TIMES = st.integers(0, 5)
PATHS = st.lists(st.one_of(KEYS, st.just("*")), max_size=3).map(tuple)


def event(kind: int = 1, at: int = 0, meta: Meta | None = None, delta: Any = (), document: str = "d") -> Event:
    return Event(document, "main", 1, kind, at, Raw(msgspec.msgpack.encode(delta)), "client", 1, meta)


def condition(**asked: Any) -> Condition:
    return Condition(Subscribe(1, 1, "**", **asked))


def touched(delta: list[Any], path: tuple[Any, ...]) -> bool:
    """A set, or a delete, at a path of keys: one of the two begins as the other one does."""
    return any(all(mine in ("*", its) for mine, its in zip(path, op[1], strict=False)) for op in delta)


@st.composite
def events(draw: st.DrawFn) -> tuple[Event, list[Any]]:
    """One, and its delta in plain."""
    kind = draw(st.sampled_from(list(Kind)))
    said = st.builds(Meta, AUTHORS, st.just("why"), TAGS)
    delta: list[Any] = [] if kind is Kind.DELETE else draw(st.lists(OPS, max_size=2))
    return event(kind, draw(TIMES), draw(st.none() | said), delta), delta


OPS = st.one_of(
    st.tuples(st.just(0), st.lists(KEYS, max_size=3), st.just(1)), st.tuples(st.just(2), st.lists(KEYS, max_size=3))
)
WISHES = st.fixed_dictionaries(
    {},
    optional={
        "tags": TAGS,
        "tags_all": TAGS,
        "by": AUTHORS,
        "path": st.none() | PATHS,
        "kinds": st.sets(st.sampled_from([0, 1, 2, 3])).map(tuple),
        "from_time": st.none() | TIMES,
    },
)


@given(WISHES, events())
def test_an_event_holds_where_it_meets_all_that_is_asked(wish: dict[str, Any], made: tuple[Event, list[Any]]) -> None:
    it, delta = made
    tags = set(it.meta.tags) if it.meta is not None else set()
    by = it.meta.by if it.meta is not None else None
    meets = [
        not wish.get("tags") or bool(tags & set(wish["tags"])),
        tags >= set(wish.get("tags_all", ())),
        wish.get("by") is None or by == wish["by"],
        wish.get("path") is None or touched(delta, wish["path"]),
        not wish.get("kinds") or it.kind in wish["kinds"],
        wish.get("from_time") is None or it.at >= wish["from_time"],
    ]
    assert condition(**wish).holds(it) == all(meets)


@given(WISHES)
def test_a_condition_is_empty_where_everything_holds(wish: dict[str, Any]) -> None:
    """The root is a path to ask for; no tags are none."""
    path = wish.pop("path", None)
    assert condition(path=path, **wish).is_empty == (
        path is None and all(value in ((), None) for value in wish.values())
    )


def test_the_author_of_what_has_none() -> None:
    assert not condition(by="ana").holds(event())
    assert not condition(by="ana").holds(event(meta=Meta(None, "why")))
    assert condition(by="ana").holds(event(meta=Meta("ana")))
    assert not condition(by="").holds(event())  # nobody, who is somebody to ask for


def test_the_root_is_touched_by_what_touches_anything() -> None:
    at_root = condition(path=())
    assert not at_root.is_empty
    assert at_root.holds(event(delta=[[0, ["x"], 1]]))
    assert not at_root.holds(event(delta=[[9, ["x"], 1]]))  # a test
    assert not at_root.holds(event(kind=Kind.DELETE))


@pytest.mark.parametrize("kinds", [(4,), (-1,), (0, 9)])
def test_a_kind_that_there_is_not(kinds: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        condition(kinds=kinds)
    assert caught.value.reason == "kinds"


# --- the index -------------------------------------------------------------------------------------------------------


class Follower:
    def __init__(self, pattern: str, branch: str = "main") -> None:
        self.pattern = Pattern.parse(pattern)
        self.branch = branch

    def __repr__(self) -> str:
        return f"{self.branch}:{self.pattern.text}"


SEGMENTS = st.sampled_from(["a", "b", "ab", "$s"])
NAMES = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(SEGMENTS | st.sampled_from(["*", "**"]), min_size=1, max_size=4).map("/".join)
BRANCHES = st.sampled_from(["main", "draft"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.builds(Follower, PATTERNS, BRANCHES)),
        st.tuples(st.just("add"), st.builds(Follower, NAMES, BRANCHES)),
        st.tuples(st.just("remove"), st.integers(0, 20)),
        st.tuples(st.just("find"), st.tuples(NAMES, BRANCHES)),
    ),
    max_size=30,
)


@given(STEPS, NAMES, BRANCHES)
def test_the_index_finds_whom_a_walk_over_all_finds(steps: list[Any], name: str, branch: str) -> None:
    index: Index[Follower] = Index()
    there: list[Follower] = []
    for what, which in [*steps, ("find", (name, branch))]:
        if what == "add":
            index.add(which)
            there.append(which)
        elif what == "remove" and there:
            index.remove(there.pop(which % len(there)))
        elif what == "find":
            document, on = which
            expected = [one for one in there if one.branch == on and one.pattern.matches(document)]
            found = list(index.matching(document, on))
            assert len(found) == len(expected)
            assert set(found) == set(expected)
    for one in there:
        index.remove(one)
    assert list(index.matching(name, branch)) == []
    assert index._by_place == {}  # nothing is left of those who went


def test_one_who_comes_twice_is_there_once_and_one_who_is_not_there_may_go() -> None:
    index: Index[Follower] = Index()
    one, other = Follower("a/*"), Follower("a/*")
    index.remove(one)
    index.add(one)
    index.add(one)
    index.add(other)
    index.remove(other)
    assert list(index.matching("a/b", "main")) == [one]
    assert list(index.matching("a/b", "draft")) == []
    assert list(index.matching("a", "main")) == []
