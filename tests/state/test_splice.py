"""Edits turn one text into the other, are few where little changed, and never take long to find."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import ANY_EDITS

from palimpsest.state.alignment import Looks
from palimpsest.state.ops import Edit, check_edits
from palimpsest.state.splice import edits, spliced, unsplice
from palimpsest.state.tree import Misfit

MIB = 1024 * 1024
LINES = st.lists(st.sampled_from(["", "a", "b", "x" * 70, "y" * 40, "é" * 50, "\r", "\u2028"]), max_size=14).map(
    "\n".join
)


def check(old: str, new: str, looks: Looks | None = None) -> tuple[Edit, ...]:
    found = edits(old, new, looks)
    check_edits(found)
    assert spliced(old, found) == new
    assert spliced(new, unsplice(old, found)) == old
    assert all(edit.removed or edit.inserted for edit in found)
    return found


@given(st.text("ab\n", max_size=20), st.text("ab\n", max_size=20))
def test_turn_any_text_into_any_other(old: str, new: str) -> None:
    check(old, new)


@given(LINES, LINES, st.integers(0, 300))
def test_turn_lines_into_others(old: str, new: str, looks: int) -> None:
    check(old, new)
    check(old, new, Looks(looks))


@given(st.lists(st.sampled_from(["lorem ipsum dolor ", "sit amet ", "x" * 33, "\n"]), max_size=20), st.data())
def test_turn_a_text_into_what_was_made_of_it(words: list[str], data: st.DataObject) -> None:
    old, new = "".join(words), list(words)
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(new)))
        new[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.lists(st.sampled_from(words or [""]), max_size=2)
        )
    check(old, "".join(new))


def test_equal_texts_have_none() -> None:
    assert edits("", "") == edits("a", "a") == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("the old word", "the new word", (Edit(4, 3, "new"),)),
        ("", "new", (Edit(0, 0, "new"),)),
        ("old", "", (Edit(0, 3, ""),)),
        ("aa", "aaa", (Edit(2, 0, "a"),)),
        ("☃ old", "☃ new", (Edit(2, 3, "new"),)),
    ],
)
def test_table(old: str, new: str, expected: tuple[Edit, ...]) -> None:
    assert check(old, new) == expected


def prose(size: int, *, end: str = "\n") -> str:
    generator = random.Random(size)
    words = [f"{generator.choice(['lorem', 'ipsum', 'dolor'])}{generator.randrange(1000)}" for _ in range(size // 8)]
    return "".join(word + (end if number % 9 == 0 else " ") for number, word in enumerate(words))[:size]


@pytest.mark.parametrize("end", ["\n", " "], ids=["lines", "one line"])
def test_a_few_places_of_a_megabyte(end: str) -> None:
    old = new = prose(MIB, end=end)
    generator = random.Random(1)
    for number in range(40):
        place = generator.randrange(len(new))
        new = new[:place] + f"<{number}>" + new[place + generator.randrange(3) :]
    found = check(old, new)
    assert len(found) <= 40
    assert sum(len(edit.inserted) for edit in found) <= 40 * 6


def test_a_long_piece_that_came_or_went() -> None:
    old = prose(100_000)
    new = old[:1_000] + old[9_000:50_000] + prose(9_999) + old[50_000:90_000] + "word" + old[90_000:]
    assert len(check(old, new)) == len(check(new, old)) == 3


def test_other_texts_are_one_edit_at_most_for_each_line() -> None:
    assert len(check(prose(50_000), prose(50_001))) < 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (prose(MIB), prose(MIB + 1)),
        ("a\n" * (MIB // 2), "b\na\n" * (MIB // 4)),
        (("a" * 31 + "b") * 10_000, "a" * 320_000 + "c"),
        ("\u2028" * 100_000, "x" + "\u2028" * 99_999 + "y"),
    ],
    ids=["other words", "many lines", "periods", "odd lines"],
)
def test_looks_are_bounded(old: str, new: str) -> None:
    looks = Looks(100_000)
    check(old, new, looks)
    assert looks.left >= 0


@given(st.text("abc", max_size=6), ANY_EDITS)
def test_edits_fit_or_are_refused(text: str, changes: tuple[Edit, ...]) -> None:
    ends = [0, *(edit.offset + edit.removed for edit in changes)]
    if all(edit.offset >= end for edit, end in zip(changes, ends, strict=False)) and max(ends) <= len(text):
        assert spliced(spliced(text, changes), unsplice(text, changes)) == text
        return
    for apply in (spliced, unsplice):
        with pytest.raises(Misfit) as caught:
            apply(text, changes)
        assert caught.value.reason == "range"
