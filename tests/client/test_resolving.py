from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from msgspec import Raw

from palimpsest.client.resolving import ABSENT, BASE, OURS, THEIRS, Value, make_resolutions
from palimpsest.errors import InvalidName, InvalidPath, InvalidRequest, InvalidValue
from palimpsest.protocol import messages as m
from palimpsest.state.delta import DELETE
from palimpsest.state.values import encode_value


@pytest.mark.parametrize("choice", [OURS, THEIRS, BASE, ABSENT])
def test_choices_are_one_of_a_kind(choice: Any) -> None:
    assert pickle.loads(pickle.dumps(choice)) is copy.deepcopy(choice) is choice
    assert repr(choice) in ("OURS", "THEIRS", "BASE", "ABSENT")
    assert choice is not None


@pytest.mark.parametrize("nothing", [ABSENT, DELETE])
def test_nothing_is_no_value(nothing: Any) -> None:
    with pytest.raises(InvalidValue, match="a resolution by itself"):
        Value(nothing)
    assert Value(None) == Value(None) != Value(0)


def test_resolutions() -> None:
    chosen = {
        "title": OURS,
        ("n/1", "title"): THEIRS,
        ("n/1", ("meta", "x.y", 0)): BASE,
        "": Value({"a": [None]}),
        "gone": DELETE,
        "away": ABSENT,
    }
    assert make_resolutions(chosen) == (
        m.Resolution(("title",), "ours"),
        m.Resolution(("title",), "theirs", document="n/1"),
        m.Resolution(("meta", "x.y", 0), "base", document="n/1"),
        m.Resolution((), "value", Raw(encode_value({"a": [None]}))),
        m.Resolution(("gone",), "absent"),
        m.Resolution(("away",), "absent"),
    )
    assert make_resolutions({}) == ()


@pytest.mark.parametrize(
    ("chosen", "error"),
    [
        ([("a", OURS)], InvalidRequest),
        ({"a": 5}, InvalidRequest),
        ({"a": None}, InvalidRequest),
        ({"a": "ours"}, InvalidRequest),
        ({"a..b": OURS}, InvalidPath),
        ({5: OURS}, InvalidPath),
        ({("n", "a..b"): OURS}, InvalidPath),
        ({("n", 5): OURS}, InvalidPath),
        ({(5, "a"): OURS}, InvalidName),
        ({("a",): OURS}, InvalidRequest),
        ({("a", "b", 0): OURS}, InvalidRequest),
        ({"a": Value({1})}, InvalidValue),
        ({"a": Value([ABSENT])}, InvalidValue),
    ],
)
def test_what_decides_nothing(chosen: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make_resolutions(chosen)
