from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from palimpsest.client.history_lines import (
    Header,
    VersionLine,
    at_line,
    header_line,
    parse_line,
    stands_alone,
    to_entry,
    to_line,
)
from palimpsest.errors import Conflict, InvalidDelta, InvalidPath, InvalidRequest, InvalidValue, PalimpsestError
from palimpsest.protocol.messages import Entry
from palimpsest.state.delta import Delta
from palimpsest.state.ops import Edit, Erase, Set, Splice, encode_delta
from palimpsest.words import Kind, Meta, Parents

AT = 1_577_836_800_000_001
CREATE, UPDATE, DELETE, ERASE = map(int, Kind)
NOTHING = Raw(b"\x90")

LINE: dict[str, Any] = {
    "document": "notes/1",
    "branch": "main",
    "version": 2,
    "kind": "update",
    "at": AT,
    "delta": [[0, ["title"], "B"]],
    "by": "ana",
    "description": None,
    "tags": ["a", "b"],
    "request": "me:7",
}


def entry(kind: int = UPDATE, delta: Delta | Raw = NOTHING, version: int = 2) -> Entry:
    encoded = delta if isinstance(delta, Raw) else Raw(delta.encode())
    return Entry(version, kind, AT, encoded, Meta("ana", None, ("a", "b")), "me:7")


def there_and_back(line: dict[str, Any]) -> Entry:
    parsed = parse_line(msgspec.json.encode(line))
    assert isinstance(parsed, VersionLine)
    assert parsed == parse_line(json.dumps(line)) == parse_line(line)
    return to_entry(parsed)


def test_a_header() -> None:
    header = header_line("notes/**")
    assert parse_line(json.dumps(header)) == parse_line(header) == Header("history", 1, "notes/**")


@pytest.mark.parametrize("scope", [{"branch": "draft"}, {"perspective": "public"}, {"family": "note", "level": 2}])
def test_a_header_says_what_was_exported(scope: dict[str, Any]) -> None:
    nothing = dict.fromkeys(("branch", "perspective", "family", "level"))
    header = header_line("notes/**", **(nothing | scope))
    assert header == header_line("notes/**") | scope
    assert parse_line(json.dumps(header)) == Header("history", 1, "notes/**", **scope)


def test_a_version() -> None:
    made = entry(delta=Delta().set("title", "B"))
    line = to_line("notes/1", "main", made)
    assert line == LINE
    assert there_and_back(line) == made


@pytest.mark.parametrize(
    ("parents", "written"),
    [
        (Parents(("main", 7)), {"base": ["main", 7], "merged": []}),
        (Parents(None, (("draft", 9), ("a/b", 2))), {"base": None, "merged": [["draft", 9], ["a/b", 2]]}),
        (Parents(("main", 7), (("draft", 9),)), {"base": ["main", 7], "merged": [["draft", 9]]}),
    ],
)
def test_a_version_that_comes_from_others(parents: Parents, written: Any) -> None:
    made = msgspec.structs.replace(entry(delta=Delta().set("title", "B")), parents=parents)
    line = to_line("notes/1", "draft", made)
    assert line == LINE | {"branch": "draft", "parents": written}
    assert there_and_back(line) == made


def test_a_version_that_comes_from_no_others_does_not_speak_of_them() -> None:
    made = msgspec.structs.replace(entry(), parents=Parents())
    assert "parents" not in to_line("notes/1", "draft", made)
    assert there_and_back(LINE | {"parents": {}}).parents is None


def test_a_version_of_which_nothing_was_said() -> None:
    made = Entry(1, CREATE, AT, Raw(Delta().set((), {}).encode()))
    line = to_line("n", "main", made)
    assert (line["by"], line["description"], line["tags"], line["request"]) == (None, None, [], None)
    assert there_and_back(line) == made


def test_what_can_be_left_out() -> None:
    short = {name: LINE[name] for name in ("document", "branch", "version", "kind", "at", "delta")}
    assert there_and_back(short) == Entry(2, UPDATE, AT, Raw(Delta().set("title", "B").encode()))


def test_a_version_after_a_gap_sets_its_whole_value() -> None:
    line = to_line("n", "main", entry(delta=Delta().append("l", 1)), {"l": [1]})
    assert line["value"] == {"l": [1]}
    assert there_and_back(line) == entry(delta=Delta().set((), {"l": [1]}))
    nothing = to_line("n", "main", entry(delta=Delta().set("a", 1)), None)
    assert there_and_back(nothing) == entry(delta=Delta().set((), None))


def test_erasures() -> None:
    part, whole = Raw(encode_delta([Erase(("a", "*"))])), Raw(encode_delta([Erase(())]))
    for delta in (part, whole):
        assert there_and_back(to_line("n", "main", entry(ERASE, delta))) == entry(ERASE, delta)
    assert there_and_back(to_line("n", "main", entry(ERASE, part), {"b": 1})) == entry(ERASE, Delta().set((), {"b": 1}))
    assert not stands_alone(entry(ERASE, part))
    assert stands_alone(entry(ERASE, whole))


def test_what_stands_alone() -> None:
    assert stands_alone(entry(DELETE))
    assert stands_alone(entry(CREATE, Delta().set((), {}).set("a", 1)))
    assert stands_alone(entry(UPDATE, Delta().set((), 5)))
    assert not stands_alone(entry(UPDATE))
    assert not stands_alone(entry(UPDATE, Delta().set("a", 1).set((), 5)))
    assert not stands_alone(entry(UPDATE, Delta().delete(())))


def rising(edits: list[tuple[int, int, str]]) -> tuple[Edit, ...]:
    """Each after the one before it, by as much as its own number says."""
    found: list[Edit] = []
    at = 0
    for gap, removed, inserted in edits:
        found.append(Edit(at + gap, removed, inserted))
        at += gap + removed
    return tuple(found)


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_paths = st.lists(st.text() | st.integers(0, 2**63 - 1), max_size=3).map(tuple)
_ops = st.builds(Set, _paths, _values) | st.builds(
    Splice,
    _paths,
    st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 9), st.text())).map(rising),
)


@given(st.lists(_ops, max_size=4), st.none() | st.text(), st.sets(st.text(min_size=1)))
def test_nothing_is_lost_on_the_way_through_json(ops: Any, by: str | None, tags: set[str]) -> None:
    meta = Meta(by, None, tuple(sorted(tags))) if by is not None or tags else None
    made = Entry(3, UPDATE, AT, Raw(encode_delta(ops)), meta, "k")
    assert there_and_back(to_line("n", "main", made)) == made


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not JSON"),
        (b'{"document": "no', "not JSON"),
        (b'"\xff"', "not JSON"),
        ("{" * 5_000, "not JSON"),
        ("[]", "not a JSON object"),
        ("5", "not a JSON object"),
        ({}, "document"),
        (LINE | {"version": 0.5}, "version"),
        (LINE | {"version": -1}, "version"),
        (LINE | {"at": "2020"}, "at"),
        (LINE | {"delta": {}}, "delta"),
        (LINE | {"tags": "ab"}, "tags"),
        (LINE | {"tags": [1]}, "tags"),
        (LINE | {"by": 5}, "by"),
        (LINE | {"vaule": 5}, "vaule"),
        (LINE | {"parents": None}, "parents"),
        (LINE | {"parents": {"base": "main"}}, "parents.base"),
        (LINE | {"parents": {"base": ["main", -1]}}, "parents.base"),
        (LINE | {"parents": {"merged": [["main"]]}}, "parents.merged"),
        (LINE | {"parents": {"bases": []}}, "bases"),
        ({"palimpsest": "history"}, "format"),
        ({"palimpsest": "history", "format": 2}, "format 2"),
        ({"palimpsest": "else", "format": 1}, "'else'"),
    ],
)
def test_what_is_no_line(line: Any, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        parse_line(line)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kind": "rename"}, InvalidRequest),
        ({"kind": "delete"}, InvalidRequest),
        ({"kind": "erase"}, InvalidRequest),
        ({"kind": "erase", "delta": [[12, ["a"]], [12, ["b"]]]}, InvalidRequest),
        ({"delta": [[99, []]]}, InvalidDelta),
        ({"delta": [[0, ["a"]]]}, InvalidDelta),
        ({"delta": ["set"]}, InvalidDelta),
        ({"delta": [[0, [-1], 5]]}, InvalidDelta),
        ({"delta": [[0, ["a"], 2**64]]}, InvalidDelta),
        ({"delta": [[0, ["a"], {"b": float("inf")}]]}, InvalidValue),
        ({"value": {"b": float("nan")}}, InvalidValue),
        ({"value": 2**64}, InvalidValue),
    ],
)
def test_lines_that_make_no_version(change: Any, error: type[PalimpsestError]) -> None:
    parsed = parse_line(LINE | change)
    assert isinstance(parsed, VersionLine)
    with pytest.raises(error):
        to_entry(parsed)


def test_an_error_that_says_its_line() -> None:
    error = at_line(7, InvalidPath("no path", text="a..b", offset=2))
    assert isinstance(error, InvalidPath)
    assert (str(error), error.line, error.offset) == ("line 7: no path", 7, 2)
    assert at_line(1, Conflict("taken")).line == 1
