"""Rules by path: which one holds where, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import PATHS, STEPS

from palimpsest.errors import InvalidRequest
from palimpsest.state.paths import Path, format_path
from palimpsest.state.redact import ANY
from palimpsest.state.rules import NAMES, NO_RULES, RULES_MAX, parse_rules, to_plain


def holds(rules: dict[str, str], path: Path) -> str:
    """The name of the rule at path."""
    return parse_rules(rules).at(path).rule.name


@pytest.mark.parametrize(
    ("rules", "path", "name"),
    [
        ({}, (), "fail"),
        ({}, ("a", 0), "fail"),
        ({"": "ours"}, (), "ours"),
        ({"": "ours"}, ("a", 0), "ours"),
        ({"a.b": "sum"}, ("a",), "fail"),
        ({"a.b": "sum"}, ("a", "b"), "sum"),
        ({"a.b": "sum"}, ("a", "b", "c", 1), "sum"),
        ({"a.b": "sum"}, ("a", "c"), "fail"),
        ({"a.1": "sum"}, ("a", 1), "sum"),
        ({"a.1": "sum"}, ("a", "1"), "fail"),
        ({'["odd.key"].x': "max"}, ("odd.key", "x"), "max"),
        ({"*": "max"}, (), "fail"),
        ({"*": "max"}, ("a",), "max"),
        ({"*": "max"}, (3,), "max"),
        ({"*.n": "max"}, ("a", "n"), "max"),
        ({"*.n": "max"}, ("a", "m"), "fail"),
        ({"a": "ours", "a.b": "theirs"}, ("a", "b", "c"), "theirs"),
        ({"a": "ours", "a.b": "theirs"}, ("a", "c"), "ours"),
        ({"a": "ours", "*.*": "theirs"}, ("a", "b"), "theirs"),
        ({"a": "ours", "*": "theirs"}, ("a", "b"), "ours"),
        ({"*": "theirs", "a": "ours"}, ("b", "b"), "theirs"),
        ({"a.*": "ours", "*.b": "theirs"}, ("a", "b"), "ours"),
        ({"*.b": "theirs", "a.*": "ours"}, ("a", "b"), "ours"),
        ({"": "ours", "a": "fail"}, ("a", "b"), "fail"),
        ({"a.*.*": "ours", "*.b.c": "theirs"}, ("a", "b", "c"), "theirs"),
        ({"a.b.c": "ours", "*.b": "theirs"}, ("a", "b", "d"), "theirs"),
        ({"*": "ours"}, ("*",), "ours"),
        ({"l": "key:id"}, ("l", 0, "x"), "key"),
    ],
)
def test_which_holds(rules: dict[str, str], path: Path, name: str) -> None:
    assert holds(rules, path) == name


PATTERNS = st.dictionaries(
    st.lists(st.one_of(STEPS, st.just(ANY)), max_size=3).map(tuple), st.sampled_from(NAMES), max_size=6
)


@given(PATTERNS, PATHS)
def test_the_longest_with_the_fewest_stars_holds(patterns: dict[Path, str], path: Path) -> None:
    def precedence(pattern: Path) -> tuple[int, int, list[bool]]:
        return len(pattern), -pattern.count(ANY), [step != ANY for step in pattern]

    def matches(pattern: Path) -> bool:
        return len(pattern) <= len(path) and all(
            a in (b, ANY) and (type(a) is type(b) or a == ANY) for a, b in zip(pattern, path, strict=False)
        )

    found = [pattern for pattern in patterns if matches(pattern)]
    best = max(found, key=precedence, default=None)
    expected = "fail" if best is None else patterns[best]
    assert holds({format_path(pattern): name for pattern, name in patterns.items()}, path) == expected


def test_what_was_given_comes_back() -> None:
    given = {"": "fail", '["a"].*': "key:the id", "b": "mine"}
    rules = parse_rules(given, {"mine": lambda conflict: None})
    assert to_plain(rules) == given
    assert rules.at(("a", "x")).rule.field == "the id"
    assert rules.at(("b",)).rule.resolver is not None
    assert parse_rules({}) is NO_RULES
    assert to_plain(NO_RULES) == {}


def test_names_of_rules_come_before_those_of_resolvers() -> None:
    resolvers = {"sum": lambda conflict: None, "key:x": lambda conflict: None}
    rules = parse_rules({"a": "sum", "b": "key:x"}, resolvers)
    assert [rules.at((key,)).rule.resolver for key in "ab"] == [None, None]


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (None, "NoneType"),
        ([("a", "sum")], "list"),
        ({1: "sum"}, "1"),
        ({"a..b": "sum"}, "'a..b'"),
        ({"a[0]": "sum"}, "'a[0]'"),
        ({"meta.tags": "add"}, "meta.tags: 'add' is no rule; there are fail, ours"),
        ({"": "add"}, "the root: 'add'"),
        ({"a": "key:"}, "key:<field>"),
        ({"a": "key"}, "'key'"),
        ({"a": 1}, "a: 1"),
        ({"a": None}, "a: None"),
        ({"a": "nobody"}, "mine"),
        ({"a": "sum", '["a"]': "max"}, "two rules"),
        (dict.fromkeys(map("k{}".format, range(RULES_MAX + 1)), "sum"), f"at most {RULES_MAX}"),
    ],
)
def test_refusals(rules: Any, named: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_rules(rules, {"mine": lambda conflict: None})
    assert named in str(caught.value)
    assert caught.value.reason == "rules"


def test_as_many_as_there_may_be() -> None:
    given = dict.fromkeys(map("k{}".format, range(RULES_MAX)), "sum")
    assert parse_rules(given).at(("k7",)).rule.name == "sum"
