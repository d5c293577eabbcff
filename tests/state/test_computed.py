"""What expressions give, what they depend on, and where they end."""

from __future__ import annotations

from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perspective_strategies import EXPRESSIONS, evaluated
from state_strategies import documents

from palimpsest.state import encode_value, freeze, thaw
from palimpsest.state.computed import CHARACTERS_MAX, RESULT_BYTES_MAX, InvalidExpression, parse_expression
from palimpsest.state.paths import parse_path

ORDER = {
    "items": [{"sku": "b", "price": 3, "note": "x"}, {"sku": "a", "price": 4}],
    "customer": {"name": "Ana", "card": "4111"},
    "paid": True,
    "tags": {"z": 1, "a": 2, "m": 3},
}


def result(text: str, value: Any = None) -> Any:
    return thaw(parse_expression(text).evaluate(freeze(ORDER if value is None else value)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sum(items[*].price)", 7),
        ("length(items)", 2),
        ("customer.name", "Ana"),
        ("items[?price > `3`].sku", ["a"]),
        ("sort_by(items, &sku)[0].price", 4),
        ("paid && customer.name", "Ana"),
        ("{who: customer.name, first: items[0].sku}", {"who": "Ana", "first": "b"}),
        ("keys(tags)", ["a", "m", "z"]),
        ("values(tags)", [2, 3, 1]),
        ("tags.*", [2, 3, 1]),
        ("customer.phone", None),
        ("sum(customer)", None),
        ("contains(customer.name, `1`)", None),
        ("to_number('nan')", None),
        ("to_number('1e400')", None),
        ("items[::0]", None),
        ("`18446744073709551615` && sum([`18446744073709551615`, `1`])", None),
    ],
)
def test_results(text: str, expected: Any) -> None:
    assert result(text) == expected


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "empty"),
        ("a.", "character 2"),
        ("a..b", "character 2"),
        ("a b", "character 2"),
        ("items[", "character 6"),
        ("a ^ b", "character 2"),
        ("nothing(a)", "no function nothing()"),
        ("length()", "length() takes 1 arguments, not 0"),
        ("length(a, b)", "length() takes 1 arguments, not 2"),
        ("merge()", "merge() takes 1 or more"),
        ("&a", "`&` belongs"),
        ("to_string(&a)", "argument 1 of to_string()"),
        ("map(a, &b)", "argument 2 of map()"),
        ("sort_by(items, &nothing(a))", "no function nothing()"),
        ("!" * 100 + "a", "more than 64 deep"),
        ("a" * (CHARACTERS_MAX + 1), "at most 1000"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_defined(text: str, where: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        parse_expression(text)
    assert where in caught.value.reason


@pytest.mark.parametrize(
    ("text", "whole", "exists"),
    [
        ("customer.name", {"customer.name"}, set()),
        ("items[0].sku", {"items.*.sku"}, set()),
        ("items[*].price", {"items.*.price"}, {"items", "items.*"}),
        ("items[?paid].sku", {"items.*.paid", "items.*.sku"}, {"items", "items.*"}),
        ("sum(items[*].price)", {"items.*.price"}, {"items", "items.*"}),
        ("{a: customer.name, b: paid}", {"customer.name", "paid"}, {""}),
        ("keys(@)", {""}, set()),
        ("a || b.c", {"a", "b.c"}, set()),
        ("map(&x, items)", {"items"}, set()),
        ("a[].b", {"a.*.b", "a.*.*.b"}, {"a", "a.*", "a.*.*"}),
        ("`5`", set(), set()),
    ],
)
def test_dependencies(text: str, whole: set[str], exists: set[str]) -> None:
    expression = parse_expression(text)
    assert expression.whole == {parse_path(path) for path in whole}
    assert expression.exists == {parse_path(path) for path in exists}


@given(EXPRESSIONS, documents())
def test_gives_what_jmespath_gives_of_the_whole_document(text: str, value: Any) -> None:
    found = parse_expression(text).evaluate(freeze(value))
    assert encode_value(found) == encode_value(evaluated(text, value))


@given(EXPRESSIONS, documents(), st.sampled_from(["a", "b", "c", "0"]))
def test_does_not_depend_on_other_keys(text: str, value: Any, key: str) -> None:
    expression = parse_expression(text)
    if isinstance(value, dict) and not any(not path or path[0] in ("*", key) for path in expression.whole):
        other = {name: item for name, item in value.items() if name != key} | {key: "other"}
        if not any(path and path[0] in ("*", key) for path in expression.exists):
            assert expression.evaluate(freeze(value)) == expression.evaluate(freeze(other))


@pytest.mark.parametrize(
    "text",
    [
        "|".join(["[@, @]"] * 55),
        "|".join(["[@, @][]"] * 55),
        "|".join(["join('', [@, @])"] * 35),
        "|".join(["[@, @]"] * 35) + "|to_string(@)",
        "|".join(["[@, @]"] * 35) + "|[@ == @, [@, @] == [@, @]]",
        "|".join(["{a: @, b: @}"] * 35) + "|length(@)",
    ],
)
def test_what_grows_without_end_ends(text: str) -> None:
    assert parse_expression(text).evaluate("seed") is None


def test_a_result_is_no_larger_than_is_allowed() -> None:
    text = "x" * (RESULT_BYTES_MAX - 10)
    assert result("a", {"a": text}) == text
    assert result("a", {"a": text + "x" * 10}) is None


def test_the_model_is_jmespath_itself() -> None:
    assert jmespath.search("a.b", {"a": {"b": 1}}) == evaluated("a.b", {"a": {"b": 1}}) == 1
