"""`client.reconcile`: documents and systems outside, kept in step.

A source is the document `$system/sources/<name>`; its plans and runs are documents, too, `$system/plans/<name>/<...>` and
`$system/runs/<name>/<...>`, so that they have authors and a feed. What is outside is bound to the client (`bind`), or pushed by another one
(`push`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from palimpsest.client.leasing import LEASE_SECONDS, Lease, SourceState, read_state
from palimpsest.client.noting import RunNote, failed
from palimpsest.client.outside import Outside, Pushed, values_of
from palimpsest.client.plans import Plan, Run, Select, SourceBusy, to_plain, to_run
from palimpsest.client.reconciler import Reconciler, make_id
from palimpsest.client.results import Version
from palimpsest.client.scheduling import next_at, run_for_ever
from palimpsest.clock import Clock, SystemClock
from palimpsest.errors import (
    DocumentExists,
    DocumentNotFound,
    InvalidRequest,
    LimitExceeded,
    LinkError,
)
from palimpsest.state.sources import (
    PLANS,
    RUNS,
    SNAPSHOTS,
    SOURCES,
    Source,
    branch_of,
    check_source,
    parse_source,
    to_value,
)
from palimpsest.words import Kind

if TYPE_CHECKING:
    from palimpsest.client.client import Client

_SECOND = 1_000_000


class Reconciling:
    """One for each client. Sources are bound to it, and not to the server."""

    def __init__(self, client: Client, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.lease_seconds = LEASE_SECONDS
        self._client = client
        self._bound: dict[str, Outside] = {}

    # --- sources -------------------------------------------------------------------------------------------------------

    async def put(self, name: str, source: Source, *, by: str | None = None, description: str | None = None) -> Version:
        """The source of that name is this one from now on. Raises InvalidValue where it does not make sense, or InvalidName."""
        if not isinstance(source, Source):
            raise InvalidRequest(f"a source is a Source, not a {type(source).__name__}", reason="source")
        check_source(source)
        branch_of(name)
        return await self._put(SOURCES + name, to_value(source), by=by, description=description)

    async def get(self, name: str) -> Source:
        """Raises DocumentNotFound where there is none of that name."""
        branch_of(name)
        return parse_source((await self._client.get(SOURCES + name)).value)

    async def delete(self, name: str, *, by: str | None = None, description: str | None = None) -> Version:
        """What it was agreed on with the documents stays, on their branch. Raises DocumentNotFound."""
        return await self._client.delete(SOURCES + name, by=by, description=description)

    async def sources(self) -> list[tuple[str, Source]]:
        """All of them with their names, in the order of these."""
        names = [name async for name in self._client.list(SOURCES + "*")]
        found = await self._client.get_many(names)
        return [
            (name.removeprefix(SOURCES), parse_source(document.value))
            for name, document in zip(names, found, strict=True)
            if document is not None
        ]

    async def state(self, name: str) -> SourceState:
        """Whether a run is under way, how the last one ended, and when a schedule runs it next."""
        branch_of(name)
        return (await read_state(self._client, name))[0]

    def bind(self, name: str, outside: Outside) -> None:
        """From now on, this client reaches the source of that name by `outside`."""
        branch_of(name)
        self._bound[name] = outside

    async def push(self, name: str, snapshot: Any, *, by: str | None = None) -> Version:
        """All that the source has by now, as data: for clients that the source itself runs. The next plan of a client without a bound source
        takes it from there. snapshot: as `Outside.snapshot` gives it. Raises InvalidValue, InvalidRequest or LimitExceeded."""
        values_of(await self.get(name), snapshot)
        return await self._put(SNAPSHOTS + name, snapshot, by=by)

    # --- plans and runs ------------------------------------------------------------------------------------------------

    async def plan(self, name: str) -> Plan:
        """What a run would do by now. Nothing is written but the plan itself, under `plan.id`; one that is too large for a document is not
        kept, and only good in this program.

        Raises DocumentNotFound where there is no such source, or nothing was pushed for it; and what the source raises.
        """
        source = await self.get(name)
        plan = await self._reconciler(name, source).plan()
        try:
            await self._client.create(PLANS + plan.id, to_plain(plan), by=branch_of(name))
        except LimitExceeded:
            return replace(plan, kept=False)
        await self._forget(PLANS + name, source.keep)
        return plan

    async def get_plan(self, plan_id: str) -> Plan:
        """Raises DocumentNotFound."""
        return msgspec.convert((await self._client.get(PLANS + plan_id)).value, Plan)

    async def apply(self, plan: Plan | str, *, select: Select | None = None, force: bool = False) -> Run:
        """Does what was planned, or of that what is selected. force: however many deletes there are.

        Raises PlanMoved where a document is not as it was planned for, TooManyDeletes, or SourceBusy while another run is under way, and
        then nothing is done; and what the source, or the server, raises in the midst of it. All but SourceBusy is kept with the run.
        """
        planned = await self.get_plan(plan) if isinstance(plan, str) else plan
        async with Lease(self._client, planned.source, self.clock, self.lease_seconds) as lease:
            return await self._run(lease, planned.source, planned, select, force)

    async def run(self, name: str, *, force: bool = False) -> Run:
        """A plan, and all of it applied. Raises as `plan` and `apply`."""
        branch_of(name)
        async with Lease(self._client, name, self.clock, self.lease_seconds) as lease:
            return await self._run(lease, name, None, None, force)

    async def runs(self, name: str, *, limit: int = 20) -> list[Run]:
        """The newest first."""
        branch_of(name)
        names = [found async for found in self._client.list(f"{RUNS}{name}/*")]
        newest = list(reversed(names))[:limit]
        return [to_run(found.value) for found in await self._client.get_many(newest) if found is not None]

    async def get_run(self, run_id: str) -> Run:
        """Raises DocumentNotFound."""
        return to_run((await self._client.get(RUNS + run_id)).value)

    async def watch(
        self, name: str, *, on_ready: Callable[[], object] | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """What goes on in runs of the source from now on, whoever runs it: `kind`, `at` (microseconds since the epoch), `run`, and what belongs
        to it. Kinds are `started`, `planned` (`summary`), `progress` (`done`, `of`, `of_what`), `applied` (`document`, `version`),
        `conflict` (`document`, `merge`, `paths`), `failed` (`message`) and `ended` (`outcome`). on_ready: called once everything from then on is
        seen."""
        branch_of(name)
        async with self._client.subscribe(f"{RUNS}{name}/*", values=True) as changes:
            if on_ready is not None:
                on_ready()
            told: dict[str, int] = {}
            async for change in changes:
                if change.kind is Kind.DELETE:
                    told.pop(change.document, None)
                    continue
                events = change.value["events"]
                for event in events[told.get(change.document, 0) :]:
                    yield {**event, "run": change.document.removeprefix(RUNS)}
                told[change.document] = len(events)

    # --- schedules -----------------------------------------------------------------------------------------------------

    async def schedule(
        self,
        name: str,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        on_run: Callable[[Run | Exception], object] | None = None,
    ) -> None:
        """Runs the source again and again, at its interval, until it is cancelled. Any number of programs may do that: one run is under way
        at a time, and one is made in an interval. A run that fails is tried again after 30 seconds, and later each time, up to an hour
        or the interval. on_run: told what came of each.

        Raises InvalidRequest for a source without an interval, and DocumentNotFound once there is no such source.
        """
        await run_for_ever(self, name, self._due, sleep, on_run)

    async def _due(self, name: str) -> Run:
        """Raises SourceBusy where another program has run it meanwhile."""
        async with Lease(self._client, name, self.clock, self.lease_seconds) as lease:
            if lease.state.next_at > self.clock.now():
                raise SourceBusy(f"{name!r} was run just now", source=name, until=0)
            return await self._run(lease, name, None, None, False)

    # --- one run -------------------------------------------------------------------------------------------------------

    async def _run(self, lease: Lease, name: str, plan: Plan | None, select: Select | None, force: bool) -> Run:
        source = await self.get(name)
        now = self.clock.now()
        run = Run(id=make_id(name, now), source=name, started_microseconds=now)
        note = RunNote(self._client, run, self.clock, lease)
        await note.begin()
        try:
            planned = plan or await self.plan(name)
            run = replace(run, plan=planned.id)
            await note.tell("planned", {"plan": planned.id, "summary": planned.summary})
            reconciler = self._reconciler(name, source)
            done = await reconciler.apply(planned, run, select, force=force, tell=note.tell)
        except BaseException as error:
            run = failed(run, error)
            with suppress(LinkError):  # the error is worth more than that it cannot be noted
                await note.tell("failed", {"message": run.message})
                await self._end(lease, note, source, run)
            raise
        await self._end(lease, note, source, done)
        return await self.get_run(run.id)

    async def _end(self, lease: Lease, note: RunNote, source: Source, run: Run) -> None:
        run = replace(run, ended_microseconds=self.clock.now())
        await note.end(run)
        is_failed = run.outcome in ("refused", "failed", "moved")
        failures = lease.state.failures + 1 if is_failed else 0
        lease.state = replace(
            lease.state,
            last_run=run.id,
            last_outcome=run.outcome,
            last_message=run.message,
            failures=failures,
            next_at=next_at(source, run.started_microseconds, failures),
        )
        await self._forget(RUNS + run.source, source.keep)

    def _reconciler(self, name: str, source: Source) -> Reconciler:
        outside = self._bound.get(name) or Pushed(self._client, name)
        return Reconciler(self._client, name, source, outside, self.clock)

    async def _forget(self, prefix: str, keep: int) -> None:
        """Of plans or runs, the oldest are deleted."""
        names = [name async for name in self._client.list(prefix + "/*")]
        for name in names[:-keep]:
            with suppress(DocumentNotFound):  # another program has just done so
                await self._client.delete(name)

    async def _put(
        self, document: str, value: Any, *, by: str | None = None, description: str | None = None
    ) -> Version:
        while True:
            try:
                return await self._client.update(document, {"": value}, by=by, description=description)
            except DocumentNotFound:
                pass
            try:
                return await self._client.create(document, value, by=by, description=description)
            except DocumentExists:
                pass  # somebody else has just made it
