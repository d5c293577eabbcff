"""What was erased is gone from every version and every delta, and the rest is as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import any_op, documents, model_apply, model_apply_fitting, paths_about

from palimpsest.state import apply_delta, encode_delta, encode_value, freeze, ops
from palimpsest.state.redact import concerns, covered, redact, redacted_delta
from palimpsest.state.tree import NOTHING

SECRET = "the secret"


def patterns_about(value: Any) -> st.SearchStrategy[Any]:
    """Paths, some of whose steps are `*`; none is the root."""
    return st.builds(
        lambda path, stars: tuple("*" if star else step for step, star in zip(path, stars, strict=False)),
        paths_about(value).filter(bool),
        st.lists(st.booleans(), min_size=6, max_size=6),
    )


def model_redact(value: Any, path: Any) -> Any:
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if rest or step not in ("*", key)}
        return {key: model_redact(item, rest) if rest and step in ("*", key) else item for key, item in kept.items()}
    if isinstance(value, list):
        return [
            item if step not in ("*", index) else model_redact(item, rest) if rest else None
            for index, item in enumerate(value)
        ]
    return value


@given(st.data(), documents())
def test_redacts_as_the_model_does(data: st.DataObject, value: Any) -> None:
    path = data.draw(patterns_about(value))
    frozen = freeze(value)
    redacted = redact(frozen, path)
    assert encode_value(redacted) == encode_value(model_redact(value, path))
    assert (redacted is frozen) == (not list(covered(frozen, path)))
    assert redact(redacted, path) is redacted
    assert redact(apply_delta(frozen, [ops.Erase(path)]), path) == redacted


@given(st.data(), documents())
def test_covers_what_is_redacted(data: st.DataObject, value: Any) -> None:
    path = data.draw(patterns_about(value))
    for place in covered(freeze(value), path):
        op = ops.Set(place, None) if type(place[-1]) is int else ops.Delete(place)
        value = model_apply(value, op)
    assert encode_value(value) == encode_value(redact(freeze(value), path))


def secrets_at(path: Any) -> st.SearchStrategy[ops.Op]:
    steps = [
        st.one_of(st.sampled_from(["a", "b"]), st.integers(0, 2)) if step == "*" else st.just(step) for step in path
    ]
    return st.builds(ops.Set, st.tuples(*steps), st.sampled_from([SECRET, [SECRET], {"a": SECRET}]))


@given(st.data(), documents())
def test_history_without_it(data: st.DataObject, value: Any) -> None:
    """Deltas that do not concern the path are kept as they are, the others as what is left of what they did. Where a secret was
    never anywhere else, nothing of it is left."""
    path = data.draw(patterns_about(value))
    value, _ = model_apply_fitting(value, data.draw(st.lists(secrets_at(path), max_size=3)))
    before, replayed = freeze(value), redact(freeze(value), path)
    kept = [redacted_delta(NOTHING, before, path)]
    values = [replayed]
    for _ in range(data.draw(st.integers(1, 2))):
        some = st.one_of(any_op(value), secrets_at(path))
        value, delta = model_apply_fitting(value, data.draw(st.lists(some, max_size=2)))
        after = freeze(value)
        kept.append(redacted_delta(before, after, path) if concerns(delta, path) else delta)
        replayed = apply_delta(replayed, kept[-1])
        assert encode_value(replayed) == encode_value(redact(after, path))
        values.append(replayed)
        before = after
    if all(SECRET.encode() not in encode_value(each) for each in values):
        assert all(SECRET.encode() not in encode_delta(delta) for delta in kept)


def test_what_is_left_is_shared() -> None:
    value = freeze({"people": {"ana": {"email": "a", "tags": [1]}, "bo": {"tags": [2]}}, "other": {"k": [1]}})
    redacted: Any = redact(value, ("people", "*", "email"))
    original: Any = value
    assert redacted["other"] is original["other"]
    assert redacted["people"]["bo"] is original["people"]["bo"]
    assert redacted["people"]["ana"]["tags"] is original["people"]["ana"]["tags"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("a",), {"l": [{"k": 1, "s": 2}, 3], "*": 4}),
        (("l", 0), {"a": {"b": 1}, "l": [None, 3], "*": 4}),
        (("l", "*", "s"), {"a": {"b": 1}, "l": [{"k": 1}, 3], "*": 4}),
        (("l", "*"), {"a": {"b": 1}, "l": [None, None], "*": 4}),
        (("*", "b"), {"a": {}, "l": [{"k": 1, "s": 2}, 3], "*": 4}),
        (("*",), {}),
        (("l", "0"), ...),
        (("l", 2), ...),
        (("a", 0), ...),
        (("a", "b", "c"), ...),
        (("no", "*"), ...),
    ],
)
def test_table(path: Any, expected: Any) -> None:
    value = freeze({"a": {"b": 1}, "l": [{"k": 1, "s": 2}, 3], "*": 4})
    redacted = redact(value, path)
    assert redacted is value if expected is ... else encode_value(redacted) == encode_value(expected)


@pytest.mark.parametrize(
    ("op", "concerned"),
    [
        (ops.Set(("l", 0, "s"), 1), True),
        (ops.Set(("l", 0), 1), True),
        (ops.Set(("l", 0, "s", "deep"), 1), True),
        (ops.Set(("l", 0, "k"), 1), False),
        (ops.Set((), 1), True),
        (ops.Set(("m",), 1), False),
        (ops.Insert(("l",), 9, 1), True),
        (ops.Append(("l",), 1), True),
        (ops.Remove(("l",), 0), True),
        (ops.Append(("l", 0, "k"), 1), False),
        (ops.Test((), 1), True),
        (ops.Test(("m",), 1), False),
        (ops.Absent(("l", 7, "s")), True),
        (ops.Copy(("l",), ("m",)), True),
        (ops.Copy(("m",), ("l", 0)), True),
        (ops.Move(("l", 3), ("m",)), True),
        (ops.Move(("l", 0, "k"), ("m",)), False),
        (ops.Splice(("l", 0, "s"), ()), True),
        (ops.Splice(("l", 0, "k"), ()), False),
        (ops.Erase(("*", "*", "s")), True),
    ],
    ids=repr,
)
def test_concerns(op: ops.Op, concerned: bool) -> None:
    assert concerns([op], ("l", "*", "s")) == concerned
