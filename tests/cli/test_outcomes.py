from __future__ import annotations

import msgspec

from palimpsest.cli.outcomes import conflict_lines
from palimpsest.client import MergeConflict


def side(value: object) -> tuple[msgspec.Raw]:
    return (msgspec.Raw(msgspec.msgpack.encode(value)),)


def test_a_conflict_has_three_sides() -> None:
    conflict = MergeConflict("d", "a.b", "delete/edit", side({"x": [None]}), (), side(None))
    assert [line.plain for line in conflict_lines([conflict])] == [
        "a.b  delete/edit",
        '    base   {"x":[null]}',
        "    ours   nothing",
        "    theirs null",
    ]


def test_sides_that_are_too_large_are_not_asked_for() -> None:
    conflict = MergeConflict("d", "", "edit/edit", left_out=True)
    assert [line.plain for line in conflict_lines([conflict])] == [
        "the root  edit/edit",
        "    too large to be sent with the others: get shows each side in its version",
    ]
