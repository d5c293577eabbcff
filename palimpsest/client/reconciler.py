"""One source and its documents: what would be done, and doing it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from palimpsest.client.agreement import Agreement, Seen
from palimpsest.client.carrying import Carrying, Tell
from palimpsest.client.outside import Outside, place_of, values_of
from palimpsest.client.plans import Plan, PlanMoved, Run, Select, TooManyDeletes, check_deletes, chosen, seal
from palimpsest.clock import Clock
from palimpsest.state.conflicts import to_data
from palimpsest.state.reconciliation import Owed, Row, compare
from palimpsest.state.rules import Rules, parse_rules
from palimpsest.state.sources import Source, branch_of
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import MAPS, as_dict

if TYPE_CHECKING:
    from palimpsest.client.client import Client

_TOLD_DOCUMENTS = 100
"""Progress is told after so many documents."""


class Reconciler:
    """Knows nothing of leases, schedules and what is kept."""

    def __init__(self, client: Client, name: str, source: Source, outside: Outside, clock: Clock) -> None:
        self._client = client
        self._name = name
        self._source = source
        self._outside = outside
        self._clock = clock
        self._rules: Rules = parse_rules(source.all_rules())

    # --- planning ------------------------------------------------------------------------------------------------------

    async def plan(self) -> Plan:
        """Reads both sides and writes nothing."""
        theirs = values_of(self._source, await self._outside.snapshot())
        agreement = self._agreement("")
        known = await agreement.known()
        names = sorted(theirs.keys() | known.keys() | await self._given_out())
        rows: list[Row] = []
        conflicts: list[dict[str, Any]] = []
        versions: dict[str, tuple[int, int]] = {}
        objects = {"in": 0, "out": 0}
        for seen in await agreement.look(names, known):
            owed = await asyncio.to_thread(self._compare, seen, theirs.get(seen.document, NOTHING))
            objects["in"] += self._count(seen.base)
            objects["out"] += self._count(owed.theirs)
            wanted = [row for row in owed.rows if row.outcome == "agreed" or self._is_wanted(row)]
            if wanted or owed.conflicts or seen.is_begun:
                versions[seen.document] = (seen.version, seen.branch_version)
            rows += wanted
            conflicts += [{"document": seen.document, **to_data(conflict)} for conflict in owed.conflicts]
        now = self._clock.now()
        return seal(
            Plan(
                id=make_id(self._name, now),
                source=self._name,
                at_microseconds=now,
                rows=rows,
                conflicts=conflicts,
                versions=versions,
                too_many_deletes=self._too_many(rows, objects),
            )
        )

    async def _given_out(self) -> set[str]:
        """The documents that may have to be made outside."""
        if self._source.prefix is None or self._source.direction == "in":
            return set()
        return {name async for name in self._client.list(self._source.documents)}

    def _compare(self, seen: Seen, theirs: Any) -> Owed:
        base = NOTHING if seen.is_first else seen.base
        return compare(place_of(self._source, seen.document), base, seen.ours, theirs, self._rules)

    def _is_wanted(self, row: Row) -> bool:
        return self._source.direction in (row.direction, "both")

    def _count(self, value: Any) -> int:
        """How many objects a value has."""
        if value is NOTHING:
            return 0
        level = [value]
        for _ in range(place_of(self._source, self._source.documents).depth):
            level = [inner for one in level if type(one) in MAPS for inner in as_dict(one).values()]
        return len(level)

    def _too_many(self, rows: Sequence[Row], objects: Mapping[str, int]) -> tuple[int, int] | None:
        for direction in ("in", "out"):
            of_direction = [row for row in rows if row.direction == direction]
            found = check_deletes(of_direction, objects[direction], self._source.max_deletes)
            if found is not None:
                return found
        return None

    # --- applying ------------------------------------------------------------------------------------------------------

    async def apply(self, plan: Plan, run: Run, select: Select | None, *, force: bool, tell: Tell) -> Run:
        """What came of it: run, with all that is known then. force: however many deletes there are.

        Raises PlanMoved or TooManyDeletes, with nothing done; and what the source, or the server, raises in the midst of it.
        """
        rows = chosen(plan.rows, select)
        if plan.too_many_deletes is not None and not force:
            deletes, limit = plan.too_many_deletes
            if sum(row.action == "delete" and bool(row.id) for row in rows) > limit:
                raise TooManyDeletes(f"{deletes} deletes, and at most {limit}", deletes=deletes, limit=limit)
        agreement = self._agreement(f"run {run.id}")
        seen = await self._look_again(agreement, plan)
        await agreement.prepare(seen)
        doing = Carrying(agreement, self._compare, self._outside, self._source.batch, tell)
        by_document: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_document[row.document].append(row)
        for at, one in enumerate(seen):
            await doing.take_in(one, by_document[one.document], plan.versions[one.document])
            if (at + 1) % _TOLD_DOCUMENTS == 0:
                await tell("progress", {"done": at + 1, "of": len(seen), "of_what": "documents"})
        await doing.give_out()
        return doing.came_to(run)

    async def _look_again(self, agreement: Agreement, plan: Plan) -> list[Seen]:
        """The documents of the plan as they are now. Raises PlanMoved."""
        seen = await agreement.look(list(plan.versions), await agreement.known())
        moved = [one.document for one in seen if self._has_moved(one, plan.versions[one.document])]
        if moved:
            raise PlanMoved(f"not as planned any more: {', '.join(moved[:5])}", documents=moved)
        return seen

    def _has_moved(self, seen: Seen, planned: tuple[int, int]) -> bool:
        version, branch_version = planned
        if self._source.on_conflict == "fail" and seen.version != version:
            return True
        return seen.branch_version != branch_version

    def _agreement(self, said: str) -> Agreement:
        rules = self._source.all_rules()
        return Agreement(self._client, branch_of(self._name), self._source.documents, rules, said)


def make_id(name: str, now: int) -> str:
    """Of a plan or a run. Ids of one source sort by the time when they were made. now: microseconds since the epoch."""
    return f"{name}/{now:016x}-{token_hex(4)}"
