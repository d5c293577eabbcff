"""Plans and runs: what a reconciliation would do, and what one did, as data that is kept."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from palimpsest.clock import to_datetime
from palimpsest.errors import InvalidRequest, PlanMoved, SourceBusy, TooManyDeletes
from palimpsest.state.reconciliation import Row

__all__ = [
    "Plan",
    "PlanMoved",
    "Run",
    "Select",
    "SourceBusy",
    "TooManyDeletes",
    "check_deletes",
    "chosen",
    "seal",
    "to_plain",
    "to_run",
]

Select: TypeAlias = Callable[[Row], bool] | Mapping[str, Collection[str]]
"""Which rows: a predicate; or values of `document`, `model`, `id`, `action`, `direction` or `outcome`, all of which have to hold."""

_FIELDS = frozenset({"document", "model", "id", "action", "direction", "outcome"})
_canonical = msgspec.json.Encoder(order="sorted")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done."""

    id: str
    source: str
    at_microseconds: int
    rows: list[Row]
    conflicts: list[dict[str, Any]] = []
    """`document`, `path`, `kind`, and `base`, `ours` (the document), `theirs` (the source), each left out where there is nothing."""
    versions: dict[str, tuple[int, int]] = {}
    """Of each document that has rows: its version, and that of the source's branch; 0 where there is none."""
    too_many_deletes: tuple[int, int] | None = None
    """How many, and how many there may be."""
    digest: str = ""
    """Over all that it would do, and what it would be done to."""
    kept: bool = True
    """It is to be found by its id; False for one that is too large for a document."""

    @property
    def at(self) -> datetime:
        return to_datetime(self.at_microseconds)

    @property
    def summary(self) -> dict[str, int]:
        """How many objects are to be created, updated and deleted, by `in.create` and so on, and how many wait as `in.conflict`. What both
        sides agree on already is not counted."""
        counts: Counter[str] = Counter()
        for row in self.rows:
            if row.id and row.outcome != "agreed":
                counts[f"{row.direction}.{row.action if row.outcome == 'apply' else row.outcome}"] += 1
        return dict(sorted(counts.items()))

    @property
    def is_empty(self) -> bool:
        """Nothing is to be done, and nothing waits."""
        return not self.conflicts and all(row.outcome == "agreed" for row in self.rows)


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a plan."""

    id: str
    source: str
    plan: str = ""
    outcome: str = "running"
    """`running`; `applied`, also where nothing was to be done; `conflict`: applied, and something waits for a decision; `partial`: some
    documents have moved, or some changes outside have failed; `moved`, `refused` (too many deletes) or `failed`: nothing was done, or
    nobody knows how much."""
    started_microseconds: int = 0
    ended_microseconds: int = 0
    summary: dict[str, int] = {}
    """Of what was done, as in a plan."""
    versions: dict[str, int] = {}
    """That were made on `main`."""
    merges: dict[str, str] = {}
    """By document, the pending merge that has its conflicts."""
    conflicts: list[dict[str, Any]] = []
    """As in the plan."""
    moved: list[str] = []
    failures: list[dict[str, str]] = []
    """Of changes outside: `document`, `model`, `id`, `action`, `message`. The next run tries them again."""
    message: str = ""
    """Why it failed."""
    events: list[dict[str, Any]] = []
    """What `watch` gives: `kind` and `at`, and what belongs to it."""


def seal(plan: Plan) -> Plan:
    """The plan, with its digest."""
    done = {
        "source": plan.source,
        "rows": msgspec.to_builtins(plan.rows),
        "conflicts": plan.conflicts,
        "versions": plan.versions,
    }
    return msgspec.structs.replace(plan, digest=hashlib.sha256(_canonical.encode(done)).hexdigest())


def to_plain(kept: Plan | Run) -> dict[str, Any]:
    """As a value of a document."""
    plain: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(kept))
    return plain


def to_run(value: Any) -> Run:
    """Of a document."""
    return msgspec.convert(value, Run)


def chosen(rows: Iterable[Row], select: Select | None) -> list[Row]:
    """Those that select is for; what both sides agree on already is always among them. Raises InvalidRequest for a word that is none."""
    holds = _predicate(select)
    return [row for row in rows if row.outcome == "agreed" or holds(row)]


def check_deletes(rows: Sequence[Row], objects: int, limit: float | None) -> tuple[int, int] | None:
    """How many deletes there are, and how many there may be, where that is too many. rows: of one direction. objects: that could be deleted.
    limit: a number, or, as a float, a share."""
    if limit is None:
        return None
    deletes = sum(row.action == "delete" and bool(row.id) for row in rows)
    most = int(limit * objects) if isinstance(limit, float) else limit
    return (deletes, most) if deletes > most else None


def _predicate(select: Select | None) -> Callable[[Row], bool]:
    if select is None:
        return lambda row: True
    if callable(select):
        return select
    if not select.keys() <= _FIELDS:
        raise InvalidRequest(f"rows are selected by {', '.join(sorted(_FIELDS))}", reason="select")
    wanted = {name: {values} if isinstance(values, str) else set(values) for name, values in select.items()}
    return lambda row: all(getattr(row, name) in values for name, values in wanted.items())
