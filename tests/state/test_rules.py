from __future__ import annotations

from typing import Any

import pytest

from palimpsest.errors import InvalidRequest
from palimpsest.state.rules import FAIL, NO_RULES, RULES_MAX, Rule, parse_rules, to_plain


def test_the_rule_of_a_place() -> None:
    rules = parse_rules({"": "ours", "a.*": "max", "a.b": "sum", '["x.y"].0.z': "union", "l": "key:id"})
    expected = {
        (): ("ours", True),
        ("q",): ("ours", False),
        ("a",): ("ours", False),
        ("a", "c"): ("max", True),
        ("a", "b"): ("sum", True),
        ("a", "b", "deep"): ("sum", False),
        ("x.y", 0, "z"): ("union", True),
        ("x.y", 1, "z"): ("ours", False),
    }
    assert {path: (rules.at(path).rule.name, rules.at(path).is_exact) for path in expected} == expected
    assert rules.at(("l", 3)).rule == Rule("key", "id")


def test_of_patterns_that_are_as_long_the_one_with_fewer_stars() -> None:
    rules = parse_rules({"*.*.c": "min", "a.*.c": "max", "*.*.*": "ours"})
    assert rules.at(("a", "b", "c")).rule.name == "max"
    assert rules.at(("x", "b", "c")).rule.name == "min"
    assert rules.at(("x", "b", "d")).rule.name == "ours"


def test_without_rules_everything_fails() -> None:
    assert parse_rules({}) is NO_RULES
    assert NO_RULES.at(("a", 0)).rule is FAIL


def test_rules_as_they_were_given() -> None:
    given = {"a": "ours", "b.*": "key:name"}
    assert to_plain(parse_rules(given)) == given


def test_a_resolver_by_its_name() -> None:
    rules = parse_rules({"a": "newest"}, {"newest": lambda conflict: 1})
    resolver = rules.at(("a",)).rule.resolver
    assert resolver is not None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "a map of paths"),
        ({"a": "nonsense"}, "at a: 'nonsense' is no rule; there are fail, ours"),
        ({"": "key:"}, "at the root: 'key:' is no rule"),
        ({"a": 1}, "1 is no rule"),
        ({1: "ours"}, "no path as text"),
        ({"a..b": "ours"}, "a rule for 'a..b'"),
        ({f"k{number}": "ours" for number in range(RULES_MAX + 1)}, f"at most {RULES_MAX}"),
    ],
)
def test_what_is_no_rule(given: Any, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason.replace(".", r"\.")):
        parse_rules(given)
