from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.decisions import choice_of, parse_decisions, parse_rules, quoted
from palimpsest.client import ABSENT, BASE, OURS, THEIRS, Value
from palimpsest.errors import InvalidPath, InvalidValue, UsageError
from palimpsest.state.paths import format_path


def test_rules_by_path() -> None:
    words = ["stars=sum", "people.*=key:id", '["a=b"].c=ours', "=diff3", "x=a=b"]
    assert parse_rules(words) == {
        "stars": "sum",
        "people.*": "key:id",
        "a=b.c": "ours",
        "": "diff3",
        "x": "a=b",
    }


@pytest.mark.parametrize("words", [["stars"], ["stars="], ["stars=sum", '["stars"]=max'], ["a..b=sum"]])
def test_what_is_no_rule(words: list[str]) -> None:
    with pytest.raises((UsageError, InvalidPath)):
        parse_rules(words)


def test_decisions_by_path() -> None:
    words = ["a=ours", "a.b=theirs", "c.0=base", "d=absent", 'e:="ours"', 'f:={"x=y": [1]}', '["g:"]=ours', ":=null"]
    assert parse_decisions(words) == {
        "a": OURS,
        "a.b": THEIRS,
        "c.0": BASE,
        "d": ABSENT,
        "e": Value("ours"),
        "f": Value({"x=y": [1]}),
        "g:": OURS,
        "": Value(None),
    }


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("title", UsageError),
        ("title=", UsageError),
        ("title=their", UsageError),
        ("title=5", UsageError),
        ("title:=their", InvalidValue),
        ("title:=", InvalidValue),
        ("a b=ours", InvalidPath),
    ],
)
def test_what_decides_nothing(word: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_decisions([word])


def test_a_path_is_decided_once() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse_decisions(["a=ours", '["a"]=theirs'])


def test_sides() -> None:
    assert [choice_of(word) for word in ("ours", "theirs", "base")] == [OURS, THEIRS, BASE]
    with pytest.raises(UsageError, match="ours, theirs, base"):
        choice_of("mine")


def test_a_path_is_quoted_where_it_has_to_be() -> None:
    assert quoted("a.b.0") == "a.b.0"
    assert quoted('a=b.c:["x y"].0.d=') == '["a=b"]["c:"]["x y"].0["d="]'
    assert quoted("") == ""


keys = st.text(st.sampled_from('a.=:"[] \\-0'), min_size=1, max_size=4)


@given(st.lists(st.integers(0, 3) | keys, max_size=4))
def test_what_is_quoted_is_read_as_what_it_was(steps: list[int | str]) -> None:
    path = format_path(tuple(steps))
    assert parse_decisions([f"{quoted(path)}=ours"]) == {path: OURS}
    assert parse_decisions([f"{quoted(path)}:=1"]) == {path: Value(1)}
    assert parse_rules([f"{quoted(path)}=sum"]) == {path: "sum"}
