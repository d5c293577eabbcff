"""A branch starts from another version, and its own versions are made again there, one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.actors.branches import Branches
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.joining import Begin, End, Integrate
from palimpsest.actors.outcomes import (
    NO_DELTA,
    Asked,
    Half,
    Outcome,
    Remembered,
    before_of,
    inscribe,
    key_of_request,
    part_of,
    settling,
)
from palimpsest.actors.preparing import head_of, no_branch
from palimpsest.actors.reading import Reader
from palimpsest.actors.stream import Stream
from palimpsest.actors.transaction import Task
from palimpsest.errors import (
    LimitExceeded,
    VersionPruned,
)
from palimpsest.limits import Limits
from palimpsest.state.branching import Drop, Fork, Moved, Release, Remember
from palimpsest.state.branching import Step as RecordStep
from palimpsest.state.conflicts import Conflict
from palimpsest.state.lines import (
    Ancestors,
    Line,
    ancestors,
    first_version,
    is_ancestor,
)
from palimpsest.state.merge import Merged, merge
from palimpsest.state.ops import encode_delta
from palimpsest.state.record import pruned
from palimpsest.state.rules import Rules
from palimpsest.state.tree import NOTHING
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Event
from palimpsest.words import RECORD, Kind, Meta, Node, said_again


class Replay(msgspec.Struct):
    """The versions of a branch, made again one by one. first: the number of the first that is made; at: where the next one goes;
    value: as of there."""

    document: str
    branch: str
    target: DocumentActor
    first: int
    at: Node
    value: Any
    outcomes: list[Outcome]
    makes: list[Task]
    is_stuck: bool = False
    """The last of outcomes has conflicts."""


class Rebasing:
    def __init__(self, reader: Reader, branches: Branches, limits: Limits) -> None:
        self._reader = reader
        self._branches = branches
        self._limits = limits

    async def look(
        self, asked: Asked, rules: Rules, request: Any, now: int, given: Remembered, release: str | None
    ) -> list[Outcome]:
        """One outcome for each version of the branch; the last one has the conflicts, and the first one the tasks."""
        (document,) = asked.documents
        target = await self._branches.awake(document, asked.into)
        line, version = target.line, target.version
        if line is None:
            raise no_branch(document, asked.into)
        node = await self._reader.find(await self._branches.source(document, asked.source), asked.source)
        record = await self._branches.awake(document, RECORD)
        rows = await self._rows(document, line, version)
        base = None if line.base is None else await self._reader.stream_at(target, line.base)
        fresh = await self._reader.stream_at(target, node)
        as_it_was = (target.version, target.durable, target.line) == (version, version, line)
        if not as_it_was or record.version != record.durable:
            raise Moved(f"{document!r} has changed on {asked.into!r} meanwhile")
        steps: list[RecordStep] = [Release(release)] if release is not None else []
        steps += [Remember(key, entry) for key, entry in given.get(document, {}).items()]
        if node == line.base:
            part = part_of(_nothing(document, node, node), head_of(target), "up_to_date", NO_DELTA)
            kept = [Task(record, inscribe(request, document, steps), told=False)] if steps else []
            return [Outcome(part, (), kept)]
        value = fresh.value() if fresh.exists else NOTHING
        replay = Replay(document, asked.into, target, first_version(node, target.newest_own), node, value, [], [])
        settle = settling(target.record, asked, asked.into, given.get(document, {}))
        old = Stream(document, asked.into, self._limits)
        old.begin(base, line.first - 1)
        _make_again(replay, rows, old, ancestors(target.record, node), rules, settle, request)
        if replay.is_stuck:
            return replay.outcomes
        tasks = _moving(replay, asked, line, node, fresh, record, steps, request, now)
        if not replay.outcomes:
            part = part_of(_nothing(document, node, line.base), head_of(target), "fast_forward", NO_DELTA)
            return [Outcome(part, (), tasks)]
        return [msgspec.structs.replace(replay.outcomes[0], tasks=tasks), *replay.outcomes[1:]]

    async def _rows(self, document: str, line: Line, version: int) -> list[Row]:
        """The branch's own versions. Raises LimitExceeded where they are too many, VersionPruned where some are missing."""
        rows = [row async for row in self._reader.rows_of(document, line.branch, line.first, version)]
        maximum = self._limits.transaction_documents_max
        if len(rows) > maximum:
            raise LimitExceeded(
                f"{len(rows)} versions to be made again; at most {maximum} at once",
                limit="transaction_documents_max",
                maximum=maximum,
                actual=len(rows),
            )
        if len(rows) != max(0, version - line.first + 1):
            raise VersionPruned(
                f"some versions of {document!r} on {line.branch!r} are not kept any more, and cannot be made again",
                document=document,
                branch=line.branch,
                version=None,
                newest=version,
                oldest=None,
            )
        return rows


def _make_again(
    replay: Replay,
    rows: Sequence[Row],
    old: Stream,
    beneath: Ancestors,
    rules: Rules,
    settle: Callable[[Conflict], Any],
    request: Any,
) -> None:
    """rows: the old versions, which old goes along. beneath: what the new base comes from."""
    for row in rows:
        before = old.value() if old.exists else NOTHING
        old.replay(row)
        theirs = old.value() if old.exists else NOTHING
        node = (replay.branch, row.event.version)
        half = Half(replay.document, node, before_of(row.event), (), before, theirs, None)
        if _is_in(row.event, replay.target.record, beneath):
            replay.outcomes.append(Outcome(part_of(half, replay.at, "up_to_date", NO_DELTA)))
            continue
        merged = merge(before, replay.value, theirs, rules=rules, settle=settle)
        delta = Raw(encode_delta(merged.delta))
        if merged.conflicts:
            part = part_of(half, replay.at, "conflicts", delta, merged.conflicts, len(merged.settled))
            replay.outcomes.append(Outcome(part, merged.conflicts))
            replay.is_stuck = True
            return
        if not merged.delta and row.event.kind == Kind.UPDATE and bytes(row.event.delta) != bytes(NO_DELTA):
            replay.outcomes.append(Outcome(part_of(half, replay.at, "up_to_date", NO_DELTA)))
            continue
        replay.outcomes.append(Outcome(part_of(half, replay.at, "merged", delta, (), len(merged.settled))))
        replay.makes.append(Task(replay.target, _integrating(replay, row.event, merged, request)))
        replay.at, replay.value = (replay.branch, replay.first + len(replay.makes) - 1), merged.value


def _integrating(replay: Replay, event: Event, merged: Merged, request: Any) -> Integrate:
    return Integrate(
        request.id,
        replay.document,
        replay.branch,
        meta=event.meta,
        key=key_of_request(request),
        value=merged.value,
        ops=merged.delta,
    )


def _moving(
    replay: Replay,
    asked: Asked,
    line: Line,
    node: Node,
    fresh: Stream,
    record: DocumentActor,
    steps: Sequence[RecordStep],
    request: Any,
    now: int,
) -> list[Task]:
    """The old line ends, the new one begins at node, and has the versions that were made again."""
    document, branch, target = replay.document, replay.branch, replay.target
    said = said_again(asked.meta, line.meta)
    moved = Line(branch, replay.first, node, None, now, said and Meta(said.by, said.description))
    end = End(request.id, document, branch, expect=target.version)
    begin = Begin(request.id, document, branch, expect=target.newest_own, line=moved, value=fresh)
    seen, _ = pruned(target.record, node[0])
    steps = [Drop(branch, max(target.version, line.first - 1)), Fork(moved, seen), *steps]
    said_of_it = Task(record, inscribe(request, document, steps), told=not replay.makes)
    return [Task(target, end), Task(target, begin), *replay.makes, said_of_it]


def _nothing(document: str, node: Node, base: Node | None) -> Half:
    return Half(document, node, base, (), NOTHING, NOTHING, None)


def _is_in(event: Event, record: Any, beneath: Ancestors) -> bool:
    """Whether the new base has it already, or has what it merged: then there is nothing to be made again."""
    if is_ancestor(record, (event.branch, event.version), beneath):
        return True
    merged = () if event.parents is None else event.parents.merged
    return bool(merged) and all(is_ancestor(record, node, beneath) for node in merged)
