from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import Raw

from palimpsest.client.merging import MergeConflict, MergePart, MergeResult, to_branch, to_pending
from palimpsest.client.resolving import ABSENT, OURS, make_resolutions
from palimpsest.errors import LimitExceeded
from palimpsest.protocol import messages as m
from palimpsest.state.conflicts import Conflict, to_data
from palimpsest.state.delta import Delta
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import encode_value
from palimpsest.words import Meta

AT = 1_577_836_800_000_001
MOMENT = datetime(2020, 1, 1, 0, 0, 0, 1, UTC)
DELTA = Delta().set("a", 1)
EMPTY = Raw(b"\x90")


def raw(value: Any) -> tuple[Raw, ...]:
    return (Raw(encode_value(value)),)


CONFLICTS = (
    m.ConflictData(("title",), "edit/edit", raw("A"), raw("B"), raw(None)),
    m.ConflictData(("meta", "x.y", 0), "edit/delete", raw([1]), raw({"a": 2}), ()),
)


def part(document: str = "n", **options: Any) -> m.MergedPart:
    given: dict[str, Any] = {
        "document": document,
        "source": ("draft", 9),
        "into": ("main", 11),
        "base": ("main", 7),
        "outcome": "merged",
        "version": 12,
        "delta": Raw(DELTA.encode()),
    }
    return m.MergedPart(**(given | options))


def conflicted(document: str = "n", **options: Any) -> m.MergedPart:
    return part(document, outcome="conflicts", version=None, conflicts=CONFLICTS, **options)


# --- branches --------------------------------------------------------------------------------------------------------


def test_a_branch() -> None:
    branch = to_branch(m.BranchInfo("n", "draft", ("main", 3), 5, AT, Meta("ana", "a try"), True))
    assert (branch.document, branch.name, branch.base, branch.head) == ("n", "draft", ("main", 3), 5)
    assert branch.parent == "main"
    assert (branch.at, branch.by, branch.description, branch.deleted) == (MOMENT, "ana", "a try", True)
    assert repr(branch) == "<Branch 'draft' of 'n', version 5, from main:3, deleted>"


def test_branches_of_which_less_is_known() -> None:
    main = to_branch(m.BranchInfo("n", "main", None, 5, 0))
    assert (main.at, main.by, main.description, main.base) == (None, None, None, None)
    assert repr(main) == "<Branch 'main' of 'n', version 5>"
    assert repr(to_branch(m.BranchInfo("n/**", "new", ("main", 0), 0, AT))) == "<Branch 'new' of 'n/**', from main>"


# --- merges ----------------------------------------------------------------------------------------------------------


def test_conflicts() -> None:
    both, gone = MergePart(conflicted(), "merge").conflicts
    assert (both.document, both.path, both.kind) == ("n", "title", "edit/edit")
    assert (both.base, both.ours, both.theirs) == ("A", "B", None)
    assert (gone.path, gone.base, gone.ours, gone.theirs) == ('meta["x.y"].0', [1], {"a": 2}, ABSENT)
    assert repr(both) == "<MergeConflict edit/edit at 'title' of 'n'>"
    assert make_resolutions({(gone.document, gone.path): OURS})[0].path == CONFLICTS[1].path


def test_conflicts_as_data_are_those_of_the_state() -> None:
    states = [
        Conflict(("title",), "edit/edit", "A", "B", None),
        Conflict(("meta", "x.y", 0), "edit/delete", [1], {"a": 2}, NOTHING),
    ]
    conflicts = MergePart(conflicted(), "merge").conflicts
    assert [conflict.to_data() for conflict in conflicts] == [{"document": "n", **to_data(state)} for state in states]
    assert [dict(conflict) for conflict in conflicts] == [conflict.to_data() for conflict in conflicts]
    assert conflicts[0]["path"] == conflicts[0].path


def test_conflicts_whose_values_are_left_out() -> None:
    left_out = m.ConflictData(("title",), "edit/edit")
    conflict = MergePart(part(conflicts=(left_out,), left_out=True), "merge").conflicts[0]
    for side in ("base", "ours", "theirs"):
        with pytest.raises(LimitExceeded, match="left out") as caught:
            getattr(conflict, side)
        assert caught.value.limit == "frame_bytes_max"
    assert conflict.to_data() == {"document": "n", "path": "title", "kind": "edit/edit", "left_out": True}
    assert MergeConflict("n", "title", "add/add").base is ABSENT


def test_a_part() -> None:
    found = MergePart(part(settled=3), "merge")
    assert (found.document, found.source, found.into, found.base) == ("n", ("draft", 9), ("main", 11), ("main", 7))
    assert (found.outcome, found.version, found.delta, found.settled) == ("merged", 12, DELTA, 3)
    assert (found.bases, found.conflicts) == ((), [])
    assert repr(found) == "<MergePart of 'n', draft:9 into main:11: merged, version 12>"
    assert repr(MergePart(conflicted(), "merge")) == "<MergePart of 'n', draft:9 into main:11: 2 conflicts>"


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("merge", {}, "version 7 of main, the nearest common ancestor"),
        ("merge", {"bases": (("main", 7),)}, "version 7 of main, the nearest common ancestor"),
        (
            "merge",
            {"base": ("main", 12), "bases": (("main", 12), ("draft", 15))},
            "version 12 of main, the newest of 2 nearest common ancestors: main:12, draft:15",
        ),
        ("pick", {"base": ("draft", 8)}, "version 8 of draft, the one before what is picked"),
        ("rebase", {"base": ("draft", 8)}, "version 8 of draft, the one before what is made again"),
        ("merge", {"base": None}, "none: there is no common ancestor"),
    ],
)
def test_why_a_base_was_taken(kind: str, options: Any, reason: str) -> None:
    assert MergePart(part(**options), kind).base_reason == reason


def test_a_merge_that_is_committed() -> None:
    result = MergeResult(m.Merged(7, (part(),), None, AT, repeat=True))
    assert (result.merge_id, result.version, result.committed, result.at) == (None, 12, True, MOMENT)
    assert (result.dry_run, result.repeat, result.conflicts) == (False, True, [])
    assert (result.delta, result.base) == (DELTA, ("main", 7))
    assert result.base_reason == "version 7 of main, the nearest common ancestor"
    assert repr(result) == "<MergeResult of 'n': draft:9 into main:11, merged, version 12>"


def test_a_merge_that_is_pending() -> None:
    result = MergeResult(m.Merged(7, (conflicted(), part("o", version=None)), "m-1"))
    assert (result.merge_id, result.version, result.committed, result.at) == ("m-1", None, False, None)
    assert [(conflict.document, conflict.path) for conflict in result.conflicts] == [
        ("n", "title"),
        ("n", 'meta["x.y"].0'),
    ]
    assert (result.delta, result.base, result.base_reason) == (None, None, None)
    assert repr(result) == "<MergeResult of 2 documents: 2 conflicts, pending as 'm-1'>"


def test_a_merge_of_several_documents() -> None:
    result = MergeResult(m.Merged(7, (part("a"), part("b", outcome="up_to_date", version=None, delta=EMPTY)), None, AT))
    assert (result.version, result.committed, [found.version for found in result.parts]) == (None, True, [12, None])
    assert repr(result) == "<MergeResult of 2 documents: 1 version made>"
    assert repr(MergeResult(m.Merged(7, ()))) == "<MergeResult of 0 documents: 0 versions made>"
    assert MergeResult(m.Merged(7, ())).version is None


def test_a_rebase_made_the_last_of_its_versions() -> None:
    result = MergeResult(m.Merged(7, (part(version=12), part(version=13)), None, AT, kind="rebase"))
    assert (result.version, result.delta, result.base) == (13, None, None)
    assert repr(result) == "<MergeResult of 'n': 2 versions made>"


def test_a_dry_run() -> None:
    result = MergeResult(m.Merged(7, (part(outcome="fast_forward", version=None),), dry_run=True))
    assert (result.dry_run, result.committed, result.version, result.merge_id) == (True, False, None, None)
    assert repr(result) == "<MergeResult of 'n', a dry run: draft:9 into main:11, fast forward>"
    would = MergeResult(m.Merged(7, (conflicted(),), dry_run=True))
    assert repr(would) == "<MergeResult of 'n', a dry run: 2 conflicts>"


def test_a_pending_merge() -> None:
    meta = Meta("ana", "at last", ("x",))
    merge = to_pending(m.PendingMerge("m-1", "merge", "draft", "main", {"a": 2, "b": 0}, AT, meta))
    assert (merge.merge_id, merge.kind, merge.source, merge.into) == ("m-1", "merge", "draft", "main")
    assert (merge.documents, merge.at, merge.by) == ({"a": 2, "b": 0}, MOMENT, "ana")
    assert (merge.description, merge.tags) == ("at last", {"x"})
    assert repr(merge) == (
        "<PendingMerge 'm-1', merge of 'draft' into 'main': 2 conflicts in 2 documents"
        " at 2020-01-01 00:00:00 by 'ana': 'at last'>"
    )
