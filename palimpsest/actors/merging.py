"""Merging branches, picking single versions, and moving a branch to another base: planned from durable versions, decided as one.

A plan has two halves. What lies in the past, the common ancestor and the version that is merged, is read first. Then, without letting go of
the event loop, the newest value of the target is merged with it and the transaction is handed over, so that a target that is written to
all the time is merged all the same.

A merge with conflicts is kept as a document of the server's own until they are resolved. It says what was asked for; the conflicts
themselves follow from the newest versions whenever somebody looks, and resolutions are kept beside the document that they are about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.actors.branches import Branches, head_of, is_lookup_due, no_branch
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.insight import Insight
from palimpsest.actors.joining import Begin, End, Inscribe, Integrate
from palimpsest.actors.reading import Reader
from palimpsest.actors.registry import Registry
from palimpsest.actors.stream import Stream
from palimpsest.actors.transaction import Task
from palimpsest.errors import (
    DocumentNotFound,
    InvalidRequest,
    LimitExceeded,
    MergeNotFound,
    VersionConflict,
    VersionPruned,
)
from palimpsest.limits import Limits
from palimpsest.logs import get_logger
from palimpsest.protocol import messages as m
from palimpsest.state.branching import Drop, Fork, Hold, Join, Moved, Release, Remember
from palimpsest.state.branching import Step as RecordStep
from palimpsest.state.conflicts import CONFLICT, Conflict
from palimpsest.state.lines import (
    Ancestors,
    Line,
    ancestors,
    common_ancestors,
    first_version,
    is_ancestor,
    line_segments,
    locate,
)
from palimpsest.state.merge import Touched, merge, touched_by
from palimpsest.state.names import Pattern
from palimpsest.state.ops import Set, decode_delta, encode_delta
from palimpsest.state.paths import Path, format_path
from palimpsest.state.record import pruned
from palimpsest.state.resolutions import Between, recalled
from palimpsest.state.rules import Resolver, Rules, parse_rules
from palimpsest.state.system import MERGES
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import check_value, decode_plain, encode_value, thaw
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Event
from palimpsest.words import MAIN, RECORD, Kind, Meta, Node

log = get_logger("palimpsest.actors")

_NO_DELTA = Raw(b"\x90")
_TOUCHED_VERSIONS_MAX = 1_000
"""Where the versions to be merged are no more than these, what they touched says where to look."""
_CONFLICTS_NAMED = 5

Remembered = Mapping[str, Mapping[str, dict[str, Any]]]
"""Resolutions that are given now: by document, by key of the conflict."""
_NOTHING_REMEMBERED: Remembered = {}


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


class Merger:
    """resolvers: by the name that a rule calls them by."""

    def __init__(
        self,
        registry: Registry,
        reader: Reader,
        insight: Insight,
        branches: Branches,
        limits: Limits,
        resolvers: Mapping[str, Resolver],
    ) -> None:
        self._registry = registry
        self._reader = reader
        self._insight = insight
        self._branches = branches
        self._limits = limits
        self._resolvers = {name: _careful(name, resolver, limits) for name, resolver in resolvers.items()}

    # --- requests ------------------------------------------------------------------------------------------------

    async def merge(self, message: m.Merge, client: str, now: int) -> m.Merged:
        pattern = Pattern.parse(message.pattern)
        if pattern.exact is not None:
            documents = [pattern.exact]
        else:
            if message.expect is not None or message.source != m.Place(message.source.branch):
                reason = "of many documents the newest versions are merged, whatever their numbers"
                raise InvalidRequest(reason, reason="pattern")
            documents = await self._that_have(pattern, message.source.branch)
        asked = Asked(
            "merge",
            documents,
            message.source,
            message.into,
            message.rules,
            message.squash,
            message.expect,
            message.meta,
        )
        return await self._begin(asked, message, client, now, message.dry_run)

    async def pick(self, message: m.Pick, client: str, now: int) -> m.Merged:
        asked = Asked(
            "pick",
            [message.document],
            message.version,
            message.into,
            message.rules,
            False,
            message.expect,
            message.meta,
        )
        return await self._begin(asked, message, client, now, message.dry_run)

    async def rebase(self, message: m.Rebase, client: str, now: int) -> m.Merged:
        onto = message.onto
        if onto is None:
            actor = await self._branches.awake(message.document, message.branch)
            if actor.line is None:
                raise no_branch(message.document, message.branch)
            onto = m.Place(actor.line.base[0] if actor.line.base is not None else MAIN)
        asked = Asked("rebase", [message.document], onto, message.branch, message.rules, False, None, message.meta)
        return await self._begin(asked, message, client, now, message.dry_run)

    async def resolve(self, message: m.Resolve, client: str, now: int) -> m.Merged:
        asked, actor = await self._pending(message.merge, message)
        if actor is None:
            return await self._repeated(asked, message, client)
        if is_lookup_due(message) and await self._branches.made_by(actor, message, client) is not None:
            return await self._still_pending(asked, message, message.merge, now)
        if message.meta is not None:
            asked = msgspec.structs.replace(asked, meta=message.meta)
        rules = parse_rules(dict(asked.rules), self._resolvers)
        found = await self._look(asked, rules, message, now)
        given = _chosen(asked, found, message.resolutions)
        answer: list[Outcome] = []

        async def prepare() -> list[Task]:
            pending = await self._branches.awake(MERGES + message.merge, MAIN)
            if not pending.exists:
                raise _no_merge(message.merge)
            answer[:] = outcomes = await self._look(asked, rules, message, now, given, release=message.merge)
            said = (message.repeat, message.meta, message.key)
            if any(outcome.conflicts for outcome in outcomes):
                change = Raw(encode_delta([Set(("documents",), _counts(outcomes))]))
                update = m.Update(message.id, pending.document, change, MAIN, pending.version, *said)
                return [Task(pending, update), *await self._remembering(given, message)]
            delete = m.Delete(message.id, pending.document, MAIN, pending.version, *said)
            return [Task(pending, delete), *(task for outcome in outcomes for task in outcome.tasks)]

        made = await self._branches.together(message, prepare, client, now)
        conflicts = any(outcome.conflicts for outcome in answer)
        parts = _parts(answer, {} if conflicts else _versions(made), self._limits)
        at, merge_id = (0, message.merge) if conflicts else (made.at, None)
        return m.Merged(message.id, parts, merge_id, at, False, made.repeat, asked.kind)

    async def abandon(self, message: m.Abandon, client: str, now: int) -> m.Committed:
        asked, _ = await self._pending(message.merge, message)

        async def prepare() -> list[Task]:
            pending = await self._branches.awake(MERGES + message.merge, MAIN)
            said = (message.repeat, message.meta, message.key)
            tasks = [Task(pending, m.Delete(message.id, pending.document, MAIN, None, *said))]
            for document in asked.documents if pending.exists else ():
                record = await self._branches.awake(document, RECORD)
                tasks.append(Task(record, _inscribe(message, document, [Release(message.merge)]), told=False))
            return tasks

        made = await self._branches.together(message, prepare, client, now)
        return m.Committed(message.id, made.made[0].version, made.at, made.repeat)

    async def look(self, message: m.GetMerge, now: int) -> m.Merged:
        asked, actor = await self._pending(message.merge, message)
        if actor is None:
            raise _no_merge(message.merge)
        rules = parse_rules(dict(asked.rules), self._resolvers)
        outcomes = await self._look(asked, rules, message, now)
        await self._durable(asked)
        return m.Merged(message.id, _parts(outcomes, {}, self._limits), message.merge, kind=asked.kind)

    async def pending(self, message: m.ListMerges) -> m.Merges:
        pattern = Pattern.parse(message.pattern)
        if message.limit < 1:
            raise InvalidRequest(f"a limit of {message.limit}", reason="limit")
        limit = min(message.limit, self._limits.page_items_max)
        found: list[m.PendingMerge] = []
        async for name in self._branches.names_of(MERGES, MERGES + message.after):
            actor = await self._branches.awake(name, MAIN)
            if not actor.exists:
                continue
            value: Any = thaw(actor.value())
            if any(pattern.matches(document) for document in value["documents"]):
                found.append(_listed(name.removeprefix(MERGES), value))
            if len(found) > limit:
                break
        return m.Merges(message.id, tuple(found[:limit]), len(found) > limit)

    # --- beginning -----------------------------------------------------------------------------------------------

    async def _begin(self, asked: Asked, request: Any, client: str, now: int, dry_run: bool) -> m.Merged:
        rules = parse_rules(dict(asked.rules), self._resolvers)
        if not dry_run and is_lookup_due(request):
            repeated = await self._repeat(asked, request, client, now)
            if repeated is not None:
                return repeated
        answer: list[Outcome] = []

        async def prepare() -> list[Task]:
            answer[:] = outcomes = await self._look(asked, rules, request, now)
            if any(outcome.conflicts for outcome in outcomes):
                return await self._keeping(asked, request, client, now, outcomes)
            return [task for outcome in outcomes for task in outcome.tasks]

        if dry_run:
            answer = await self._look(asked, rules, request, now)
            await self._durable(asked)
            return m.Merged(request.id, _parts(answer, {}, self._limits), dry_run=True, kind=asked.kind)
        made = await self._branches.together_if_any(request, prepare, client, now)
        if made is None:
            await self._durable(asked)
            return m.Merged(request.id, _parts(answer, {}, self._limits), kind=asked.kind)
        if any(outcome.conflicts for outcome in answer):
            pending = merge_id(request, client)
            return m.Merged(request.id, _parts(answer, {}, self._limits), pending, kind=asked.kind)
        return m.Merged(request.id, _parts(answer, _versions(made), self._limits), None, made.at, kind=asked.kind)

    async def _keeping(
        self, asked: Asked, request: Any, client: str, now: int, outcomes: Sequence[Outcome]
    ) -> list[Task]:
        """What keeps a merge with conflicts until they are resolved."""
        id = merge_id(request, client)
        name = MERGES + id
        pending = await self._branches.awake(name, MAIN)
        value = Raw(encode_value(_to_value(asked, outcomes, now)))
        tasks = [Task(pending, m.Create(request.id, name, value, MAIN, request.repeat, asked.meta, request.key))]
        for document in asked.documents:
            nodes = [
                node
                for outcome in outcomes
                if outcome.part.document == document
                for node in (outcome.part.base, outcome.part.source, outcome.part.into)
                if node is not None and node[1]
            ]
            if asked.kind == "rebase":
                nodes += await self._own(document, asked.into)
            record = await self._branches.awake(document, RECORD)
            hold = Hold(id, tuple(sorted(set(nodes))))
            tasks.append(Task(record, _inscribe(request, document, [hold]), told=False))
        return tasks

    async def _own(self, document: str, branch: str) -> list[Node]:
        """The versions that are to be made again, and the one that they start from."""
        actor = await self._branches.awake(document, branch)
        line = actor.line
        if line is None:
            return []
        own = [(branch, version) for version in range(line.first, actor.version + 1)]
        return own if line.base is None else [line.base, *own]

    async def _remembering(self, given: Remembered, request: Any) -> list[Task]:
        tasks: list[Task] = []
        for document, entries in given.items():
            record = await self._branches.awake(document, RECORD)
            steps = [Remember(key, entry) for key, entry in entries.items()]
            tasks.append(Task(record, _inscribe(request, document, steps), told=False))
        return tasks

    # --- planning ------------------------------------------------------------------------------------------------

    async def _look(
        self,
        asked: Asked,
        rules: Rules,
        request: Any,
        now: int,
        given: Remembered = _NOTHING_REMEMBERED,
        release: str | None = None,
    ) -> list[Outcome]:
        """What comes of it as of now, with the tasks that do it. given: resolutions beside those that the records have; they are kept
        with what is done. release: the pending merge that ends with it. Does not let go of the event loop once the first target
        was looked at."""
        if asked.kind == "rebase":
            return await self._look_at_rebase(asked, rules, request, now, given, release)
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
            part = _part(half, into, "up_to_date", _NO_DELTA)
            kept = [Task(record, _inscribe(request, half.document, steps), told=False)] if steps else []
            return Outcome(part, (), kept)
        ours = target.value() if target.exists else NOTHING
        settle = _settling(target.record, asked, half.source[0], given.get(half.document, {}))
        merged = merge(half.before, ours, half.theirs, rules=rules, settle=settle, touched=half.touched)
        delta = Raw(encode_delta(merged.delta))
        if merged.conflicts:
            part = _part(half, into, "conflicts", delta, merged.conflicts, len(merged.settled))
            return Outcome(part, merged.conflicts)
        is_forward = half.base == into and asked.kind == "merge"
        if asked.kind == "pick" and not merged.delta and (merged.value is NOTHING) == (ours is NOTHING):
            kept = [Task(record, _inscribe(request, half.document, steps), told=False)] if steps else []
            return Outcome(_part(half, into, "up_to_date", _NO_DELTA), (), kept)
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
            meta=asked.meta or half.meta,
            key=_key(request),
            expect=target.version,
            value=outcome_value,
            ops=ops,
            merged=taken,
        )
        tasks = [Task(target, integrate)]
        if steps:
            tasks.append(Task(record, _inscribe(request, half.document, steps), told=False))
        part = _part(half, into, "fast_forward" if is_forward else "merged", delta, (), len(merged.settled))
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
        base = _before(row.event)
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

    async def _that_have(self, pattern: Pattern, branch: str) -> list[str]:
        found: list[str] = []
        maximum = self._limits.transaction_documents_max
        async for document in self._branches.documents(pattern):
            if not (await self._branches.awake(document, branch)).is_absent:
                found.append(document)
            if len(found) > maximum:
                raise LimitExceeded(
                    f"more than {maximum} documents at once",
                    limit="transaction_documents_max",
                    maximum=maximum,
                    actual=len(found),
                )
        if not found:
            raise no_branch(pattern.text, branch)
        return found

    async def _durable(self, asked: Asked) -> None:
        """Returns once everything that was looked at is durable."""
        for document in asked.documents:
            await self._branches.awake(document, asked.into)

    # --- rebasing ------------------------------------------------------------------------------------------------

    async def _look_at_rebase(
        self, asked: Asked, rules: Rules, request: Any, now: int, given: Remembered, release: str | None
    ) -> list[Outcome]:
        """One outcome for each version of the branch; the last one has the conflicts, and the first one the tasks."""
        (document,) = asked.documents
        target = await self._branches.awake(document, asked.into)
        line = target.line
        if line is None:
            raise no_branch(document, asked.into)
        onto = await self._branches.source(document, asked.source)
        node = await self._reader.find(onto, asked.source)
        record = await self._branches.awake(document, RECORD)
        beneath = ancestors(target.record, node)
        version = target.version
        rows = [row async for row in self._reader.rows_of(document, asked.into, line.first, version)]
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
                f"some versions of {document!r} on {asked.into!r} are not kept any more, and cannot be made again",
                document=document,
                branch=asked.into,
                version=None,
                newest=version,
                oldest=None,
            )
        base = None if line.base is None else await self._reader.stream_at(target, line.base)
        fresh = await self._reader.stream_at(target, node)
        if (target.version, target.durable, target.line) != (
            version,
            version,
            line,
        ) or record.version != record.durable:
            raise Moved(f"{document!r} has changed on {asked.into!r} meanwhile")
        steps: list[RecordStep] = [Release(release)] if release is not None else []
        steps += [Remember(key, entry) for key, entry in given.get(document, {}).items()]
        if node == line.base:
            half = Half(document, node, node, (), NOTHING, NOTHING, None)
            kept = [Task(record, _inscribe(request, document, steps), told=False)] if steps else []
            return [Outcome(_part(half, head_of(target), "up_to_date", _NO_DELTA), (), kept)]
        first = first_version(node, target.newest_own)
        outcomes: list[Outcome] = []
        makes: list[Task] = []
        current = fresh.value() if fresh.exists else NOTHING
        old = self._stream(document, asked.into, base, line.first - 1)
        for row in rows:
            before = old.value() if old.exists else NOTHING
            old.replay(row)
            theirs = old.value() if old.exists else NOTHING
            half = Half(document, (asked.into, row.event.version), _before(row.event), (), before, theirs, None)
            at = (asked.into, first + len(makes) - 1) if makes else node
            if _is_in(row.event, target.record, beneath):
                outcomes.append(Outcome(_part(half, at, "up_to_date", _NO_DELTA)))
                continue
            settle = _settling(target.record, asked, asked.into, given.get(document, {}))
            merged = merge(before, current, theirs, rules=rules, settle=settle)
            delta = Raw(encode_delta(merged.delta))
            if merged.conflicts:
                part = _part(half, at, "conflicts", delta, merged.conflicts, len(merged.settled))
                return [*outcomes, Outcome(part, merged.conflicts)]
            if not merged.delta and row.event.kind == Kind.UPDATE and bytes(row.event.delta) != bytes(_NO_DELTA):
                outcomes.append(Outcome(_part(half, at, "up_to_date", _NO_DELTA)))
                continue
            integrate = Integrate(
                request.id,
                document,
                asked.into,
                meta=row.event.meta,
                key=_key(request),
                value=merged.value,
                ops=merged.delta,
            )
            makes.append(Task(target, integrate))
            outcomes.append(Outcome(_part(half, at, "merged", delta, (), len(merged.settled))))
            current = merged.value
        end = End(request.id, document, asked.into, expect=version)
        meta = asked.meta
        said = None if meta is None else Meta(meta.by, meta.description)
        moved = Line(asked.into, first, node, None, now, said or line.meta)
        begin = Begin(request.id, document, asked.into, expect=target.newest_own, line=moved, value=fresh)
        last = max(version, line.first - 1)
        steps = [Drop(asked.into, last), Fork(moved, _pruned(target, node)), *steps]
        inscribe = Task(record, _inscribe(request, document, steps), told=not makes)
        tasks = [Task(target, end), Task(target, begin), *makes, inscribe]
        if not outcomes:
            half = Half(document, node, line.base, (), NOTHING, NOTHING, None)
            outcomes.append(Outcome(_part(half, head_of(target), "fast_forward", _NO_DELTA)))
        return [msgspec.structs.replace(outcomes[0], tasks=tasks), *outcomes[1:]]

    def _stream(self, document: str, branch: str, base: Stream | None, version: int) -> Stream:
        stream = Stream(document, branch, self._limits)
        stream.begin(base, version)
        return stream

    # --- pending merges ------------------------------------------------------------------------------------------

    async def _pending(self, id: str, request: Any) -> tuple[Asked, DocumentActor | None]:
        """What was asked for, and the actor of what is kept of it; None: it is over, and this request may have ended it."""
        if "/" in id or not id:
            raise _no_merge(id)
        actor = await self._branches.awake(MERGES + id, MAIN)
        if actor.exists:
            return _to_asked(thaw(actor.value())), actor
        is_repeat = getattr(request, "repeat", False) or getattr(request, "key", None) is not None
        if actor.version < 2 or not is_repeat:
            raise _no_merge(id)
        before = await self._reader.stream_at(actor, (MAIN, actor.version - 1))
        return _to_asked(thaw(before.value())), None

    async def _repeat(self, asked: Asked, request: Any, client: str, now: int) -> m.Merged | None:
        """The first answer to a request that was done already; None: it was not."""
        id = merge_id(request, client)
        pending = await self._branches.awake(MERGES + id, MAIN)
        if pending.exists:
            return await self._still_pending(asked, request, id, now)
        found, at = await self._made_by(asked, request, client)
        return m.Merged(request.id, found, None, at, repeat=True, kind=asked.kind) if found else None

    async def _still_pending(self, asked: Asked, request: Any, id: str, now: int) -> m.Merged:
        """The answer to a repeat, with what is open as of now."""
        outcomes = await self._look(asked, parse_rules(dict(asked.rules), self._resolvers), request, now)
        return m.Merged(request.id, _parts(outcomes, {}, self._limits), id, repeat=True, kind=asked.kind)

    async def _repeated(self, asked: Asked, request: Any, client: str) -> m.Merged:
        found, at = await self._made_by(asked, request, client)
        if not found:
            # Special case: it ended the pending merge, and nothing was left to be merged.
            ended = await self._branches.made_by(
                await self._branches.awake(MERGES + request.merge, MAIN), request, client
            )
            if ended is None:
                raise _no_merge(request.merge)
            at, source = ended[1], (asked.source.branch, asked.source.version or 0)
            found = tuple(
                m.MergedPart(document, source, (asked.into, 0), None, "up_to_date", None, _NO_DELTA)
                for document in asked.documents
            )
        return m.Merged(request.id, found, None, at, repeat=True, kind=asked.kind)

    async def _made_by(self, asked: Asked, request: Any, client: str) -> tuple[tuple[m.MergedPart, ...], int]:
        """The versions that a request has made, without what went into them, and when."""
        parts: list[m.MergedPart] = []
        at = 0
        for document in asked.documents:
            actor = await self._branches.awake(document, asked.into)
            made = await self._branches.made_by(actor, request, client)
            if made is not None:
                version, at = made[0], max(at, made[1])
                node = (asked.source.branch, asked.source.version or 0)
                into = (asked.into, version - 1)
                parts.append(m.MergedPart(document, node, into, None, "merged", version, _NO_DELTA))
        return tuple(parts), at


# --- what is said of it ----------------------------------------------------------------------------------------------


def merge_id(request: Any, client: str) -> str:
    """Of the pending merge that a request may begin: the same for a repeat."""
    identity = f"key:{request.key}" if request.key is not None else f"{client}:{request.id}"
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _before(event: Event) -> Node | None:
    if event.parents is not None and event.parents.base is not None:
        return event.parents.base
    return (event.branch, event.version - 1) if event.version > 1 else None


def _is_in(event: Event, record: Any, beneath: Ancestors) -> bool:
    """Whether the new base has it already, or has what it merged: then there is nothing to be made again."""
    if is_ancestor(record, (event.branch, event.version), beneath):
        return True
    merged = () if event.parents is None else event.parents.merged
    return bool(merged) and all(is_ancestor(record, node, beneath) for node in merged)


def _age(row: Row) -> tuple[int, int]:
    return row.event.at, row.position


def _pruned(actor: DocumentActor, node: Node) -> int:
    return pruned(actor.record, node[0])[0]


def _key(request: Any) -> str | None:
    """Of a request that may be a read."""
    key: str | None = getattr(request, "key", None)
    return key


def _inscribe(request: Any, document: str, steps: Iterable[RecordStep]) -> Inscribe:
    meta = getattr(request, "meta", None)
    return Inscribe(request.id, document, RECORD, False, meta, _key(request), steps=tuple(steps))


def _settling(record: Any, asked: Asked, source: str, given: Mapping[str, dict[str, Any]]) -> Callable[[Conflict], Any]:
    """Decides conflicts by what was resolved before."""
    between = Between(asked.source.branch if asked.kind == "rebase" else source, asked.into)

    def settle(conflict: Conflict) -> Any:
        key = between.key(conflict)
        entry = given[key] if key in given else recalled(record, key)
        return CONFLICT if entry is CONFLICT else between.settled(conflict, entry)

    return settle


def _chosen(asked: Asked, found: Sequence[Outcome], resolutions: Sequence[m.Resolution]) -> Remembered:
    """The entries that resolutions come to. Raises InvalidRequest for one that no open conflict is at."""
    given: dict[str, dict[str, dict[str, Any]]] = {}
    for resolution in resolutions:
        value = _resolved(resolution)
        met = False
        for outcome in found:
            if resolution.document not in (None, outcome.part.document):
                continue
            source = asked.source.branch if asked.kind == "rebase" else outcome.part.source[0]
            between = Between(source, asked.into)
            for conflict in outcome.conflicts:
                if _is_about(resolution, conflict.path):
                    entry = between.entry(resolution.take, value)
                    given.setdefault(outcome.part.document, {})[between.key(conflict)] = entry
                    met = True
        if not met:
            raise _no_conflict(resolution, found)
    return given


def _resolved(resolution: m.Resolution) -> Any:
    if resolution.take not in ("ours", "theirs", "base", "value", "absent"):
        raise InvalidRequest(f"{resolution.take!r} is no way to resolve a conflict", reason="take")
    if resolution.take != "value":
        return None
    value = decode_plain(resolution.value)
    check_value(value, depth=len(resolution.path))
    return value


def _is_about(resolution: m.Resolution, path: Path) -> bool:
    """A side may be taken for everything inside of a place; a value is for one place."""
    given = tuple(resolution.path)
    if resolution.take in ("value", "absent"):
        return path == given
    return path[: len(given)] == given


def _no_conflict(resolution: m.Resolution, found: Sequence[Outcome]) -> InvalidRequest:
    where = format_path(tuple(resolution.path)) or "the root"
    open_ = [format_path(conflict.path) or "the root" for outcome in found for conflict in outcome.conflicts]
    named = ", ".join(open_[:_CONFLICTS_NAMED]) + (", ..." if len(open_) > _CONFLICTS_NAMED else "")
    left = f"open are: {named}" if open_ else "none is open"
    return InvalidRequest(f"there is no conflict at {where}; {left}", reason="no conflict")


def _part(
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


def _conflict_data(conflict: Conflict) -> m.ConflictData:
    return m.ConflictData(
        conflict.path, conflict.kind, _side(conflict.base), _side(conflict.ours), _side(conflict.theirs)
    )


def _side(value: Any) -> tuple[Raw, ...]:
    return () if value is NOTHING else (Raw(encode_value(value)),)


def _parts(outcomes: Iterable[Outcome], versions: dict[str, list[int]], limits: Limits) -> tuple[m.MergedPart, ...]:
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
            part = msgspec.structs.replace(part, conflicts=bare, left_out=True, delta=_NO_DELTA)
            size = 0
        room -= len(part.delta) + size
        parts.append(part)
    return tuple(parts)


def _versions(made: m.Transacted) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for one in made.made:
        if one.branch != RECORD:
            found.setdefault(one.document, []).append(one.version)
    return found


# --- what is kept of a merge that is pending -------------------------------------------------------------------------


def _to_value(asked: Asked, outcomes: Sequence[Outcome], now: int) -> dict[str, Any]:
    place = {
        "branch": asked.source.branch,
        "version": asked.source.version,
        "at": asked.source.at,
        "tag": asked.source.tag,
    }
    meta = asked.meta or Meta()
    said = {"by": meta.by, "description": meta.description, "tags": list(meta.tags) or None}
    return {
        "kind": asked.kind,
        "source": {name: value for name, value in place.items() if value is not None},
        "into": asked.into,
        "rules": dict(asked.rules),
        "squash": asked.squash,
        "documents": dict.fromkeys(asked.documents, 0) | _counts(outcomes),
        "at": now,
        **{name: value for name, value in said.items() if value is not None},
    }


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for outcome in outcomes:
        document = outcome.part.document
        counts[document] = counts.get(document, 0) + len(outcome.conflicts)
    return counts


def _to_asked(value: Any) -> Asked:
    by, description, tags = value.get("by"), value.get("description"), tuple(value.get("tags", ()))
    meta = Meta(by, description, tags) if by is not None or description is not None or tags else None
    source = value["source"]
    place = m.Place(source["branch"], source.get("version"), source.get("at"), source.get("tag"))
    return Asked(
        value["kind"], sorted(value["documents"]), place, value["into"], value["rules"], value["squash"], None, meta
    )


def _listed(id: str, value: Any) -> m.PendingMerge:
    asked = _to_asked(value)
    return m.PendingMerge(
        id, asked.kind, asked.source.branch, asked.into, dict(value["documents"]), value["at"], asked.meta
    )


def _no_merge(id: str) -> MergeNotFound:
    return MergeNotFound(f"no merge {id!r} is pending", merge=id)


def _careful(name: str, resolver: Resolver, limits: Limits) -> Resolver:
    """A resolver is somebody else's code: where it fails, or gives what is no value, the conflict stays."""

    def resolve(conflict: Conflict) -> Any:
        plain = msgspec.structs.replace(
            conflict, base=_thawed(conflict.base), ours=_thawed(conflict.ours), theirs=_thawed(conflict.theirs)
        )
        try:
            value = resolver(plain)
            if value is not CONFLICT and value is not NOTHING:
                check_value(value, depth_max=limits.depth_max, depth=len(conflict.path))
        except Exception as error:
            log.warning("resolver_failed", resolver=name, path=format_path(conflict.path), exc_info=error)
            return CONFLICT
        return value

    return resolve


def _thawed(value: Any) -> Any:
    return value if value is NOTHING else thaw(value)
