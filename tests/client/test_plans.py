from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from palimpsest.client.plans import Plan, check_deletes, chosen, seal, to_plain, to_run
from palimpsest.errors import InvalidRequest
from palimpsest.state.reconciliation import Row

ROWS = [
    Row(document="d", path=("m", "a"), model="m", id="a", action="create", after=1),
    Row(document="d", path=("m", "b"), model="m", id="b", action="delete", before=1),
    Row(document="d", path=("n",), model="n", action="delete", before={}),
    Row(document="d", path=("n", "c"), model="n", id="c", direction="out", after=2, before=1),
    Row(document="d", path=("n", "e"), model="n", id="e", outcome="conflict", after=2, before=1),
    Row(document="d", path=("n", "f"), model="n", id="f", outcome="agreed", after=2, before=1),
]
PLAN = Plan(id="box/1", source="box", at_microseconds=5, rows=ROWS, versions={"d": (3, 2)})


def test_a_summary_counts_objects() -> None:
    assert PLAN.summary == {"in.conflict": 1, "in.create": 1, "in.delete": 1, "out.update": 1}
    assert not PLAN.is_empty
    assert replace(PLAN, rows=ROWS[5:]).is_empty


def test_a_digest_is_of_what_would_be_done() -> None:
    digest = seal(PLAN).digest
    assert seal(replace(PLAN, id="box/2", at_microseconds=6)).digest == digest
    for other in (replace(PLAN, rows=ROWS[1:]), replace(PLAN, versions={"d": (4, 2)}), replace(PLAN, source="c")):
        assert seal(other).digest != digest


@pytest.mark.parametrize(
    ("select", "ids"),
    [
        (None, "abcef"),
        ({"id": "a"}, "af"),
        ({"model": ["n"], "direction": "in"}, "ef"),
        (lambda row: row.action == "delete", "bf"),
    ],
    ids=["all", "id", "two", "predicate"],
)
def test_what_is_chosen(select: Any, ids: str) -> None:
    assert "".join(row.id for row in chosen(ROWS, select)) == ids


def test_what_nothing_is_chosen_by() -> None:
    with pytest.raises(InvalidRequest):
        chosen(ROWS, {"colour": "red"})


@pytest.mark.parametrize(
    ("limit", "objects", "found"),
    [(None, 1, None), (0, 9, (1, 0)), (1, 9, None), (0.1, 9, (1, 0)), (0.1, 10, None), (1.0, 1, None)],
)
def test_too_many_deletes(limit: float | None, objects: int, found: Any) -> None:
    assert check_deletes(ROWS, objects, limit) == found


def test_plans_and_runs_as_values() -> None:
    assert to_plain(PLAN)["versions"] == {"d": [3, 2]}
    assert to_plain(to_run({"id": "box/1", "source": "box"})) == {"id": "box/1", "source": "box"}
