"""Carrying out a plan, document by document: what the source has is taken in, and then what the documents have is given out."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from palimpsest.client.agreement import Agreement, Seen, Settled
from palimpsest.client.outside import Outside
from palimpsest.client.plans import Run
from palimpsest.errors import VersionConflict
from palimpsest.state.conflicts import to_data
from palimpsest.state.reconciliation import Owed, Row, given, with_rows
from palimpsest.state.tree import NOTHING

Tell: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Told what goes on: a kind of event, and what belongs to it."""

_PATHS_TOLD_MAX = 100
_FAILURES_MAX = 1_000


class _Known(msgspec.Struct):
    """A document once it has taken in what it is to take in. clean: the source without what is in conflict; theirs: all of it."""

    owed: Owed
    clean: Any
    theirs: Any
    outgoing: list[Row]
    done: list[Row] = []


class Carrying:
    """Of one run. Use: `take_in` for each document, `give_out` once, and then `came_to`."""

    def __init__(
        self, agreement: Agreement, compare: Callable[[Seen, Any], Owed], outside: Outside, batch: int, tell: Tell
    ) -> None:
        """compare: a document with what the source has. batch: so many changes are made outside at once."""
        self._agreement = agreement
        self._compare = compare
        self._outside = outside
        self._batch = batch
        self._tell = tell
        self._known: dict[str, _Known] = {}
        self._done: list[Row] = []
        self._versions: dict[str, int] = {}
        self._merges: dict[str, str] = {}
        self._conflicts: list[dict[str, Any]] = []
        self._moved: list[str] = []
        self._failures: list[dict[str, str]] = []
        self._failed = 0

    async def take_in(self, seen: Seen, rows: Sequence[Row], planned: tuple[int, int]) -> None:
        """rows: of this document, that are to be done. planned: its version then, and that of its branch. Where it has gone on, what was to be
        given out is left for the next run."""
        if seen.is_first and not seen.version:  # `prepare` may have made it
            [seen] = await self._agreement.look([seen.document], {})
        incoming = [row for row in rows if row.direction == "in"]
        outgoing = [row for row in rows if row.direction == "out"]
        owed = await asyncio.to_thread(self._compare_with, seen, incoming)
        try:
            settled = await self._agreement.take_in(seen, owed)
        except VersionConflict:
            self._moved.append(seen.document)
            return
        await self._settled(seen.document, settled, owed)
        self._done += [row for row in incoming if row.outcome == "apply"]
        if settled.merge_id is not None:  # else the server knew how they were resolved before
            self._conflicts += [{"document": seen.document, **to_data(conflict)} for conflict in owed.conflicts]
        if outgoing and planned[0] and seen.version != planned[0]:
            self._moved.append(seen.document)
        elif outgoing:
            self._known[seen.document] = _Known(owed, owed.clean, owed.theirs, outgoing)

    def _compare_with(self, seen: Seen, incoming: Sequence[Row]) -> Owed:
        return self._compare(seen, with_rows(NOTHING if seen.is_first else seen.base, incoming))

    async def give_out(self) -> None:
        """What is made and changed goes first, then what is deleted, the other way round. After each batch it is noted what the source has by
        now, so that a run that is interrupted is taken up there."""
        rows = [row for known in self._known.values() for row in known.outgoing]
        ordered = [row for row in rows if row.action != "delete" and row.id]
        ordered += [row for row in reversed(rows) if row.action == "delete" and row.id]
        for start in range(0, len(ordered), self._batch):
            batch = ordered[start : start + self._batch]
            await self._give(batch)
            await self._tell("progress", {"done": start + len(batch), "of": len(ordered), "of_what": "changes"})
        for document, known in self._known.items():
            await self._agree(document, known)

    async def _give(self, batch: Sequence[Row]) -> None:
        made: defaultdict[str, list[Row]] = defaultdict(list)
        for row, failure in zip(batch, await self._outside.apply(batch), strict=True):
            if failure is None:
                made[row.document].append(row)
            else:
                self._fail(row, failure)
        for document, rows in made.items():
            known = self._known[document]
            known.done += rows
            known.theirs = given(known.theirs, rows)
            await self._agreement.note(document, known.theirs)

    def _fail(self, row: Row, message: str) -> None:
        self._failed += 1
        if len(self._failures) < _FAILURES_MAX:
            about = {"document": row.document, "model": row.model, "id": row.id, "action": row.action}
            self._failures.append({**about, "message": message})

    async def _agree(self, document: str, known: _Known) -> None:
        failed = len(known.done) < sum(bool(row.id) for row in known.outgoing)
        containers = [] if failed else [row for row in known.outgoing if not row.id]
        if not known.done and not containers:
            return
        rows = [*known.done, *containers]
        clean, theirs = given(known.clean, rows), given(known.theirs, containers)
        settled = await self._agreement.settle(document, known.owed, clean, theirs)
        await self._settled(document, settled, known.owed)
        self._done += known.done

    async def _settled(self, document: str, settled: Settled, owed: Owed) -> None:
        if settled.version is not None:
            self._versions[document] = settled.version
            await self._tell("applied", {"document": document, "version": settled.version})
        if settled.merge_id is not None and self._merges.get(document) != settled.merge_id:
            self._merges[document] = settled.merge_id
            paths = [to_data(conflict)["path"] for conflict in owed.conflicts[:_PATHS_TOLD_MAX]]
            await self._tell("conflict", {"document": document, "merge": settled.merge_id, "paths": paths})

    def came_to(self, run: Run) -> Run:
        """The run, with all that was done."""
        counts = Counter(f"{row.direction}.{row.action}" for row in self._done if row.id)
        if self._failed:
            counts["out.failed"] = self._failed
        outcome = "partial" if self._moved or self._failed else "conflict" if self._merges else "applied"
        return replace(
            run,
            outcome=outcome,
            summary=dict(sorted(counts.items())),
            versions=self._versions,
            merges=self._merges,
            conflicts=self._conflicts,
            moved=self._moved,
            failures=self._failures,
        )
