"""What a merge was asked to do, what was read for it, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.actors.joining import Inscribe
from palimpsest.actors.transaction import Task
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.state.branching import Step as RecordStep
from palimpsest.state.conflicts import CONFLICT, Conflict
from palimpsest.state.merge import Touched
from palimpsest.state.resolutions import Between, recalled
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import encode_value
from palimpsest.storage.events import Event
from palimpsest.words import RECORD, Meta, Node

NO_DELTA = Raw(b"\x90")

Remembered = Mapping[str, Mapping[str, dict[str, Any]]]
"""Resolutions that are given now: by document, by key of the conflict."""
NOTHING_REMEMBERED: Remembered = {}


class Asked(msgspec.Struct, frozen=True):
    """What is to be done, of whichever kind. kind: "merge", "pick" or "rebase". documents: names. source: of a rebase, what it goes onto;
    into: of a rebase, the branch that moves."""

    kind: str
    documents: Sequence[str]
    source: m.Place
    into: str
    rules: Mapping[str, str]
    squash: bool = False
    expect: int | None = None
    meta: Meta | None = None


class Half(msgspec.Struct, frozen=True):
    """What was read of the past for one step: the value before, and the value to be merged. merged: what the version takes in."""

    document: str
    source: Node
    base: Node | None
    bases: Sequence[Node]
    before: Any
    theirs: Any
    touched: Touched
    merged: tuple[Node, ...] = ()
    meta: Meta | None = None
    at: int = 0
    is_done: bool = False
    """There is nothing to be merged."""


class Outcome(msgspec.Struct, frozen=True):
    """One document's, or one version's. conflicts: open ones."""

    part: m.MergedPart
    conflicts: Sequence[Conflict] = ()
    tasks: Sequence[Task] = ()


def before_of(event: Event) -> Node | None:
    if event.parents is not None and event.parents.base is not None:
        return event.parents.base
    return (event.branch, event.version - 1) if event.version > 1 else None


def key_of_request(request: Any) -> str | None:
    """Of a request that may be a read."""
    key: str | None = getattr(request, "key", None)
    return key


def inscribe(request: Any, document: str, steps: Iterable[RecordStep]) -> Inscribe:
    meta = getattr(request, "meta", None)
    return Inscribe(request.id, document, RECORD, False, meta, key_of_request(request), steps=tuple(steps))


def settling(record: Any, asked: Asked, source: str, given: Mapping[str, dict[str, Any]]) -> Callable[[Conflict], Any]:
    """Decides conflicts by what was resolved before."""
    between = Between(asked.source.branch if asked.kind == "rebase" else source, asked.into)

    def settle(conflict: Conflict) -> Any:
        key = between.key(conflict)
        entry = given[key] if key in given else recalled(record, key)
        return CONFLICT if entry is CONFLICT else between.settled(conflict, entry)

    return settle


def part_of(
    half: Half, into: Node, outcome: str, delta: Raw, conflicts: Sequence[Conflict] = (), settled: int = 0
) -> m.MergedPart:
    return m.MergedPart(
        half.document,
        half.source,
        into,
        half.base,
        outcome,
        None,
        delta,
        tuple(_conflict_data(conflict) for conflict in conflicts),
        settled,
        tuple(half.bases),
    )


def parts_of(outcomes: Iterable[Outcome], versions: dict[str, list[int]], limits: Limits) -> tuple[m.MergedPart, ...]:
    """versions: that were made, by document, in order. What does not fit into a frame is left out."""
    parts: list[m.MergedPart] = []
    room = limits.frame_bytes_max // 2
    for outcome in outcomes:
        part = outcome.part
        made = versions.get(part.document, [])
        if part.outcome in ("merged", "fast_forward") and made:
            part = msgspec.structs.replace(part, version=made.pop(0))
        size = sum(
            len(raw) for conflict in part.conflicts for raw in (*conflict.base, *conflict.ours, *conflict.theirs)
        )
        if len(part.delta) + size > room:
            bare = tuple(m.ConflictData(conflict.path, conflict.kind) for conflict in part.conflicts)
            part = msgspec.structs.replace(part, conflicts=bare, left_out=True, delta=NO_DELTA)
            size = 0
        room -= len(part.delta) + size
        parts.append(part)
    return tuple(parts)


def versions_of(made: m.Transacted) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for one in made.made:
        if one.branch != RECORD:
            found.setdefault(one.document, []).append(one.version)
    return found


def _conflict_data(conflict: Conflict) -> m.ConflictData:
    return m.ConflictData(
        conflict.path, conflict.kind, _side(conflict.base), _side(conflict.ours), _side(conflict.theirs)
    )


def _side(value: Any) -> tuple[Raw, ...]:
    return () if value is NOTHING else (Raw(encode_value(value)),)
