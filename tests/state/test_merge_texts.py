"""Texts merged by lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.state.conflicts import CONFLICT
from palimpsest.state.merge_texts import merge_texts

TEXTS = st.lists(st.sampled_from(["a", "b", "\n", "\n", "\r\n", "\u2028"]), max_size=12).map("".join)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        ("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"),
        ("a\nb\nc\n", "x\na\nb\nc\n", "a\nb\nc\ny\n", "x\na\nb\nc\ny\n"),
        ("a\nb\nc\n", "b\nc\n", "a\nb\n", "b\n"),
        ("a\nb\nc", "A\nb\nc", "a\nb\nc\n", "A\nb\nc\n"),
        ("a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n", "A\r\nb\r\nC\r\n"),
        ("a\nb\n", "A\nb\n", "A\nb\n", "A\nb\n"),
        ("a\nb\nc\n", "A\nb\nc\n", "A\nb\nC\n", "A\nb\nC\n"),
        ("a\nb\n", "A\nb\n", "a\nB\n", CONFLICT),
        ("a\n", "A\n", "b\n", CONFLICT),
        ("a\nb\nc\n", "a\nX\nc\n", "a\nY\nc\n", CONFLICT),
        ("a\nb\nc\n", "a\nc\n", "a\nY\nc\n", CONFLICT),
        ("a\nc\n", "a\nx\nc\n", "a\ny\nc\n", CONFLICT),
        ("", "x", "y", CONFLICT),
        ("", "x", "x", "x"),
        ("one line", "one fine line", "one line!", CONFLICT),
    ],
)
def test_table(base: str, ours: str, theirs: str, merged: object) -> None:
    assert merge_texts(base, ours, theirs) == merged
    assert merge_texts(base, theirs, ours) == merged


@given(TEXTS, TEXTS, TEXTS)
def test_the_sides_may_be_exchanged(base: str, ours: str, theirs: str) -> None:
    assert merge_texts(base, ours, theirs) == merge_texts(base, theirs, ours)


@given(TEXTS, TEXTS)
def test_of_one_side_that_changed_it_comes_out_that_side(base: str, side: str) -> None:
    assert merge_texts(base, side, base) == merge_texts(base, base, side) == merge_texts(base, side, side) == side
