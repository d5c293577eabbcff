"""What a merge comes to, as of now: planned in two halves.

What lies in the past, the common ancestor and the version that is merged, is read first. Then, without letting go of the event loop, the
newest value of the target is merged with it, so that a target that is written to all the time is merged all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from palimpsest.actors.branches import Branches
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.insight import Insight
from palimpsest.actors.joining import Integrate
from palimpsest.actors.outcomes import (
    NO_DELTA,
    NOTHING_REMEMBERED,
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
from palimpsest.actors.rebasing import Rebasing
from palimpsest.actors.registry import Registry
from palimpsest.actors.transaction import Task
from palimpsest.errors import (
    DocumentNotFound,
    LimitExceeded,
    VersionConflict,
)
from palimpsest.limits import Limits
from palimpsest.state.branching import Join, Moved, Release, Remember
from palimpsest.state.branching import Step as RecordStep
from palimpsest.state.lines import (
    ancestors,
    common_ancestors,
    is_ancestor,
    line_segments,
    locate,
)
from palimpsest.state.merge import Touched, merge, touched_by
from palimpsest.state.ops import decode_delta, encode_delta
from palimpsest.state.rules import Rules
from palimpsest.state.tree import NOTHING
from palimpsest.storage.contracts import Row
from palimpsest.words import RECORD, Kind, Node, said_again

_TOUCHED_VERSIONS_MAX = 1_000
"""Where the versions to be merged are no more than these, what they touched says where to look."""


class Planner:
    def __init__(
        self, reader: Reader, insight: Insight, branches: Branches, registry: Registry, limits: Limits
    ) -> None:
        self._reader = reader
        self._insight = insight
        self._branches = branches
        self._registry = registry
        self._limits = limits

    async def look(
        self,
        asked: Asked,
        rules: Rules,
        request: Any,
        now: int,
        given: Remembered = NOTHING_REMEMBERED,
        release: str | None = None,
    ) -> list[Outcome]:
        """What comes of it as of now, with the tasks that do it. given: resolutions beside those that the records have; they are kept
        with what is done. release: the pending merge that ends with it. Does not let go of the event loop once the first target
        was looked at."""
        if asked.kind == "rebase":
            rebasing = Rebasing(self._reader, self._branches, self._limits)
            return await rebasing.look(asked, rules, request, now, given, release)
        halves: list[tuple[Half, DocumentActor, DocumentActor]] = []
        for document in asked.documents:
            target = await self._target(document, asked.into, request, now)
            half = await (self._merged_half if asked.kind == "merge" else self._picked_half)(document, target, asked)
            halves.append((half, target, await self._branches.awake(document, RECORD)))
        outcomes: list[Outcome] = []
        for half, target, record in halves:
            if target.asleep or record.asleep or record.version != record.durable:
                raise Moved(f"what is said of the versions of {half.document!r} changes all the time")
            outcomes.append(self._join(asked, half, target, record, rules, request, given, release))
        if sum(len(outcome.conflicts) for outcome in outcomes) > self._limits.merge_conflicts_max:
            raise LimitExceeded(
                "a merge with more conflicts than anybody would resolve",
                limit="merge_conflicts_max",
                maximum=self._limits.merge_conflicts_max,
                actual=sum(len(outcome.conflicts) for outcome in outcomes),
            )
        return outcomes

    def _join(
        self,
        asked: Asked,
        half: Half,
        target: DocumentActor,
        record: DocumentActor,
        rules: Rules,
        request: Any,
        given: Remembered,
        release: str | None,
    ) -> Outcome:
        """The second half: with the newest value of the target."""
        if asked.expect is not None and asked.expect != target.version:
            raise VersionConflict(
                f"{half.document!r} is at version {target.version}, not {asked.expect}",
                document=half.document,
                branch=target.branch,
                expected=asked.expect,
                actual=target.version,
            )
        into = head_of(target)
        steps: list[RecordStep] = [Release(release)] if release is not None else []
        steps += [Remember(key, entry) for key, entry in given.get(half.document, {}).items()]
        if half.is_done:
            part = part_of(half, into, "up_to_date", NO_DELTA)
            kept = [Task(record, inscribe(request, half.document, steps), told=False)] if steps else []
            return Outcome(part, (), kept)
        ours = target.value() if target.exists else NOTHING
        settle = settling(target.record, asked, half.source[0], given.get(half.document, {}))
        merged = merge(half.before, ours, half.theirs, rules=rules, settle=settle, touched=half.touched)
        delta = Raw(encode_delta(merged.delta))
        if merged.conflicts:
            part = part_of(half, into, "conflicts", delta, merged.conflicts, len(merged.settled))
            return Outcome(part, merged.conflicts)
        is_forward = half.base == into and asked.kind == "merge"
        if asked.kind == "pick" and not merged.delta and (merged.value is NOTHING) == (ours is NOTHING):
            kept = [Task(record, inscribe(request, half.document, steps), told=False)] if steps else []
            return Outcome(part_of(half, into, "up_to_date", NO_DELTA), (), kept)
        if merged.value is NOTHING and ours is NOTHING:
            outcome_value, ops = NOTHING, []
        else:
            outcome_value, ops = merged.value, merged.delta
        taken = () if asked.squash else half.merged
        if taken:
            steps.insert(0, Join(target.branch, target.version + 1, taken))
        integrate = Integrate(
            request.id,
            half.document,
            target.branch,
            meta=said_again(asked.meta, half.meta),
            key=key_of_request(request),
            expect=target.version,
            value=outcome_value,
            ops=ops,
            merged=taken,
        )
        tasks = [Task(target, integrate)]
        if steps:
            tasks.append(Task(record, inscribe(request, half.document, steps), told=False))
        part = part_of(half, into, "fast_forward" if is_forward else "merged", delta, (), len(merged.settled))
        return Outcome(part, (), tasks)

    # --- what lies in the past -----------------------------------------------------------------------------------

    async def _target(self, document: str, branch: str, request: Any, now: int) -> DocumentActor:
        """The actor of the branch that is merged into; it is made where it is one of many documents."""
        actor = await self._branches.awake(document, branch)
        if actor.is_absent:
            if await self._branches.stand_in(document, branch) is None:
                raise no_branch(document, branch)
            if getattr(request, "dry_run", False):
                return await self._branches.present(document, branch)
            await self._branches.fork(actor, request.meta, now)
            actor = await self._branches.awake(document, branch)
        return actor

    async def _merged_half(self, document: str, target: DocumentActor, asked: Asked) -> Half:
        place = asked.source
        source = await self._branches.awake(document, place.branch)
        if source.is_absent and not (place.version is not None and source.newest_own):
            if await self._branches.stand_in(document, place.branch) is not None:
                node = head_of(await self._branches.present(document, place.branch))
                return Half(document, node, node, (), NOTHING, NOTHING, None, is_done=True)
            raise no_branch(document, place.branch)
        if not source.version:
            raise DocumentNotFound(
                f"there is no document {document!r}", document=document, branch=place.branch, version=None
            )
        node = await self._reader.find(source, place)
        record, into = target.record, locate(target.record, target.branch, target.durable) if target.durable else None
        bases: list[Node] = []
        if into is not None:
            if is_ancestor(record, node, ancestors(record, into)):
                return Half(document, node, node, (), NOTHING, NOTHING, None, is_done=True)
            bases = await self._newest_first(source, common_ancestors(record, node, into))
        base = bases[0] if bases else None
        self._reader.keep(source)
        before = NOTHING if base is None else await self._reader.value_at(document, base)
        theirs = await self._reader.value_at(document, node)
        touched = await self._touched(source, base, node)
        more = bases if len(bases) > 1 else ()
        return Half(document, node, base, more, before, theirs, touched, (node,))

    async def _picked_half(self, document: str, target: DocumentActor, asked: Asked) -> Half:
        source = await self._branches.source(document, asked.source)
        if not source.version:
            raise DocumentNotFound(
                f"there is no document {document!r}", document=document, branch=asked.source.branch, version=None
            )
        node = await self._reader.find(source, asked.source)
        row = await self._reader.row(source, node)
        before = await self._insight.before(source, row)
        theirs = await self._reader.value_at(document, node)
        touched = (
            touched_by([decode_delta(row.event.delta)]) if before is not NOTHING and theirs is not NOTHING else None
        )
        base = before_of(row.event)
        return Half(document, node, base, (), before, theirs, touched, (), row.event.meta)

    async def _newest_first(self, actor: DocumentActor, nodes: Sequence[Node]) -> list[Node]:
        if len(nodes) < 2:
            return list(nodes)
        rows = [await self._reader.row(actor, node) for node in nodes]
        return [node for _, node in sorted(zip(rows, nodes, strict=True), key=lambda both: _age(both[0]), reverse=True)]

    async def _touched(self, source: DocumentActor, base: Node | None, node: Node) -> Touched:
        """What was touched on the way from base to node; None: it may be anything."""
        if base is None:
            return None
        deltas: list[Any] = []
        for segment in line_segments(source.record, node):
            first = base[1] + 1 if segment.branch == base[0] else segment.first
            if len(deltas) + segment.last - first >= _TOUCHED_VERSIONS_MAX:
                return None
            expected = first
            async for row in self._reader.rows_of(source.document, segment.branch, first, segment.last):
                if row.event.kind != Kind.UPDATE or row.event.version != expected:
                    return None
                deltas.append(decode_delta(row.event.delta))
                expected += 1
            if expected <= segment.last:
                return None  # some are not kept any more
            if segment.branch == base[0]:
                return touched_by(deltas) if segment.first <= base[1] <= segment.last else None
        return None


def _age(row: Row) -> tuple[int, int]:
    return row.event.at, row.position
