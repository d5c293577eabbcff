"""Merging branches, picking single versions, and moving a branch to another base: planned from durable versions, decided as one.

A merge with conflicts is kept as a document of the server's own until they are resolved. It says what was asked for; the conflicts
themselves follow from the newest versions whenever somebody looks, and resolutions are kept beside the document that they are about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.actors.branches import Branches
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.insight import Insight
from palimpsest.actors.outcomes import (
    NO_DELTA,
    Asked,
    Outcome,
    Remembered,
    inscribe,
    parts_of,
    versions_of,
)
from palimpsest.actors.pending import chosen, counts_of, listed, merge_id, no_merge, to_asked, to_value
from palimpsest.actors.planning import Planner
from palimpsest.actors.preparing import is_lookup_due, no_branch
from palimpsest.actors.reading import Reader
from palimpsest.actors.registry import Registry
from palimpsest.actors.transaction import Task
from palimpsest.errors import (
    InvalidRequest,
    LimitExceeded,
)
from palimpsest.limits import Limits
from palimpsest.logs import get_logger
from palimpsest.protocol import messages as m
from palimpsest.state.branching import Hold, Release, Remember
from palimpsest.state.conflicts import CONFLICT, Conflict
from palimpsest.state.names import Pattern
from palimpsest.state.ops import Set, encode_delta
from palimpsest.state.paths import format_path
from palimpsest.state.rules import Resolver, parse_rules
from palimpsest.state.system import MERGES
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import check_value, encode_value, thaw
from palimpsest.words import MAIN, RECORD, Node, said_again

log = get_logger("palimpsest.actors")


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
        self._reader = reader
        self._branches = branches
        self._limits = limits
        self._planner = Planner(reader, insight, branches, registry, limits)
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
            asked = msgspec.structs.replace(asked, meta=said_again(message.meta, asked.meta))
        rules = parse_rules(dict(asked.rules), self._resolvers)
        found = await self._planner.look(asked, rules, message, now)
        given = chosen(asked, found, message.resolutions)
        answer: list[Outcome] = []

        async def prepare() -> list[Task]:
            pending = await self._branches.awake(MERGES + message.merge, MAIN)
            if not pending.exists:
                raise no_merge(message.merge)
            answer[:] = outcomes = await self._planner.look(asked, rules, message, now, given, release=message.merge)
            said = (message.repeat, message.meta, message.key)
            if any(outcome.conflicts for outcome in outcomes):
                change = Raw(encode_delta([Set(("documents",), counts_of(outcomes))]))
                update = m.Update(message.id, pending.document, change, MAIN, pending.version, *said)
                return [Task(pending, update), *await self._remembering(given, message)]
            delete = m.Delete(message.id, pending.document, MAIN, pending.version, *said)
            return [Task(pending, delete), *(task for outcome in outcomes for task in outcome.tasks)]

        made = await self._branches.together(message, prepare, client, now)
        conflicts = any(outcome.conflicts for outcome in answer)
        parts = parts_of(answer, {} if conflicts else versions_of(made), self._limits)
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
                tasks.append(Task(record, inscribe(message, document, [Release(message.merge)]), told=False))
            return tasks

        made = await self._branches.together(message, prepare, client, now)
        return m.Committed(message.id, made.made[0].version, made.at, made.repeat)

    async def look(self, message: m.GetMerge, now: int) -> m.Merged:
        asked, actor = await self._pending(message.merge, message)
        if actor is None:
            raise no_merge(message.merge)
        rules = parse_rules(dict(asked.rules), self._resolvers)
        outcomes = await self._planner.look(asked, rules, message, now)
        await self._durable(asked)
        return m.Merged(message.id, parts_of(outcomes, {}, self._limits), message.merge, kind=asked.kind)

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
                found.append(listed(name.removeprefix(MERGES), value))
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
            answer[:] = outcomes = await self._planner.look(asked, rules, request, now)
            if any(outcome.conflicts for outcome in outcomes):
                return await self._keeping(asked, request, client, now, outcomes)
            return [task for outcome in outcomes for task in outcome.tasks]

        if dry_run:
            answer = await self._planner.look(asked, rules, request, now)
            await self._durable(asked)
            return m.Merged(request.id, parts_of(answer, {}, self._limits), dry_run=True, kind=asked.kind)
        made = await self._branches.together_if_any(request, prepare, client, now)
        if made is None:
            await self._durable(asked)
            return m.Merged(request.id, parts_of(answer, {}, self._limits), kind=asked.kind)
        if any(outcome.conflicts for outcome in answer):
            pending = merge_id(request, client)
            return m.Merged(request.id, parts_of(answer, {}, self._limits), pending, kind=asked.kind)
        return m.Merged(request.id, parts_of(answer, versions_of(made), self._limits), None, made.at, kind=asked.kind)

    async def _keeping(
        self, asked: Asked, request: Any, client: str, now: int, outcomes: Sequence[Outcome]
    ) -> list[Task]:
        """What keeps a merge with conflicts until they are resolved."""
        id = merge_id(request, client)
        name = MERGES + id
        pending = await self._branches.awake(name, MAIN)
        value = Raw(encode_value(to_value(asked, outcomes, now)))
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
            tasks.append(Task(record, inscribe(request, document, [hold]), told=False))
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
            tasks.append(Task(record, inscribe(request, document, steps), told=False))
        return tasks

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

    # --- pending merges ------------------------------------------------------------------------------------------

    async def _pending(self, id: str, request: Any) -> tuple[Asked, DocumentActor | None]:
        """What was asked for, and the actor of what is kept of it; None: it is over, and this request may have ended it."""
        if "/" in id or not id:
            raise no_merge(id)
        actor = await self._branches.awake(MERGES + id, MAIN)
        if actor.exists:
            return to_asked(thaw(actor.value())), actor
        is_repeat = getattr(request, "repeat", False) or getattr(request, "key", None) is not None
        if actor.version < 2 or not is_repeat:
            raise no_merge(id)
        before = await self._reader.stream_at(actor, (MAIN, actor.version - 1))
        return to_asked(thaw(before.value())), None

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
        outcomes = await self._planner.look(asked, parse_rules(dict(asked.rules), self._resolvers), request, now)
        return m.Merged(request.id, parts_of(outcomes, {}, self._limits), id, repeat=True, kind=asked.kind)

    async def _repeated(self, asked: Asked, request: Any, client: str) -> m.Merged:
        found, at = await self._made_by(asked, request, client)
        if not found:
            # Special case: it ended the pending merge, and nothing was left to be merged.
            ended = await self._branches.made_by(
                await self._branches.awake(MERGES + request.merge, MAIN), request, client
            )
            if ended is None:
                raise no_merge(request.merge)
            at, source = ended[1], (asked.source.branch, asked.source.version or 0)
            found = tuple(
                m.MergedPart(document, source, (asked.into, 0), None, "up_to_date", None, NO_DELTA)
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
                parts.append(m.MergedPart(document, node, into, None, "merged", version, NO_DELTA))
        return tuple(parts), at


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
