"""Documents and systems outside, kept in step: sources, what was pushed for them, plans, and runs.

The gateway reaches no system outside by itself. Over HTTP, a source pushes what it has, and is planned for from that.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from palimpsest.client.leasing import SourceState as ClientState
from palimpsest.client.plans import Plan as ClientPlan
from palimpsest.client.plans import Run as ClientRun
from palimpsest.clock import to_datetime
from palimpsest.state.paths import format_path
from palimpsest.state.reconciliation import Action, Direction, Outcome
from palimpsest.state.reconciliation import Row as ClientRow
from palimpsest.state.sources import SOURCES, Source, check_source, parse_source, to_value
from palimpsest.web.definitions import Kind, NamesQuery, deleting, narrowed, putting, reading, widened
from palimpsest.web.operations import JSON, Answer, Call, Operation
from palimpsest.web.pages import PAGE_HEADERS, Page, limit_of, next_after, page_answer
from palimpsest.web.plain import Version, version_of
from palimpsest.web.queries import PageQuery, SaidQuery

_GROUP = "reconciliation"


# --- sources ---------------------------------------------------------------------------------------------------------


class NamedSource(Source, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A system outside, and how documents are reconciled with it."""

    name: str = ""
    """May be left out in a request, where the path says it."""


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with the runs of a source."""

    running_until: datetime | None
    """A run is under way, and holds the source until then, unless it goes on; null: none is."""
    last_run: str | None
    outcome: str | None
    """Of the last run."""
    message: str
    """Why the last run failed; "" where it did not."""
    failures: int
    """Runs that have failed since the last one that did not."""
    next_at: datetime | None
    """When a schedule runs it next; null: at once, where there is one."""


class ListedSource(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    source: Source
    state: SourceState


async def list_sources(call: Call) -> Answer:
    query: NamesQuery = call.query
    limit = limit_of(call)
    found = [(name, source) for name, source in await call.client.reconcile.sources() if name > query.after]
    now = call.client.reconcile.clock.now()
    items = [
        ListedSource(name=name, source=source, state=state_of(await call.client.reconcile.state(name), now))
        for name, source in found[:limit]
    ]
    following = next_after(call, found, lambda pair: pair[0])
    return page_answer(Page(items=items, next=following))


def state_of(state: ClientState, now: int) -> SourceState:
    """now: microseconds since the epoch."""
    return SourceState(
        running_until=to_datetime(state.until) if state.holder and state.until > now else None,
        last_run=state.last_run or None,
        outcome=state.last_outcome or None,
        message=state.last_message,
        failures=state.failures,
        next_at=to_datetime(state.next_at) if state.next_at else None,
    )


def _read(name: str, value: Any) -> NamedSource:
    return widened(NamedSource, parse_source(value), name=name)


def _written(_: str, body: NamedSource) -> Any:
    source = narrowed(Source, body)
    check_source(source)
    return to_value(source)


_SOURCES = Kind(
    word="source",
    title=("Source", "Sources"),
    path="/reconcile/sources",
    prefix=SOURCES,
    group=_GROUP,
    body=NamedSource,
    read=_read,
    written=_written,
)


async def push_snapshot(call: Call) -> Answer:
    """All that the source has by now, as data: the value of its document; or, where it has many, a map from their names to their values. The next plan
    takes it from there."""
    query: SaidQuery = call.query
    return Answer(version_of(await call.client.reconcile.push(call.path["name"], call.body, by=query.by)))


# --- plans and runs --------------------------------------------------------------------------------------------------


class PlanRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done about one object, on the document (`in`) or outside (`out`)."""

    document: str
    path: str
    """Of the object in its document; "" is the whole of it."""
    model: str
    id: str
    direction: Direction
    action: Action
    outcome: Outcome
    before: Any = msgspec.UNSET
    """The object as it is now; left out of a `create`."""
    after: Any = msgspec.UNSET
    """The object as it is to be; left out of a `delete`."""


class PlanConflict(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides changed it. A side that has nothing there is left out."""

    document: str
    path: str
    kind: str
    base: Any = msgspec.UNSET
    ours: Any = msgspec.UNSET
    """The document."""
    theirs: Any = msgspec.UNSET
    """The source."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done."""

    id: str
    source: str
    at: datetime
    summary: dict[str, int]
    """How many objects are to be created, updated and deleted, by `in.create` and so on, and how many wait, as `in.conflict`."""
    is_empty: bool
    """Nothing is to be done, and nothing waits."""
    rows: list[PlanRow]
    conflicts: list[PlanConflict]
    versions: dict[str, tuple[int, int]]
    """Of each document that has rows: its version, and that of the source's branch."""
    too_many_deletes: tuple[int, int] | None
    """How many, and how many there may be."""
    digest: str
    kept: bool
    """It is to be found by its id, and can be applied; false for one that is too large for a document."""


class RunFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A change outside that has failed; the next run tries it again."""

    document: str
    model: str
    id: str
    action: str
    message: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a plan."""

    id: str
    source: str
    plan: str | None
    outcome: str
    """`running`, `applied`, `conflict`, `partial`, `moved`, `refused` or `failed`."""
    started_at: datetime
    ended_at: datetime | None
    summary: dict[str, int]
    """Of what was done, as in a plan."""
    versions: dict[str, int]
    """That were made on `main`."""
    merges: dict[str, str]
    """By document, the pending merge that has its conflicts."""
    conflicts: list[PlanConflict]
    moved: list[str]
    """Documents that have gone on since the plan."""
    failures: list[RunFailure]
    message: str
    """Why it failed."""


def plan_of(plan: ClientPlan) -> Plan:
    return Plan(
        id=plan.id,
        source=plan.source,
        at=plan.at,
        summary=plan.summary,
        is_empty=plan.is_empty,
        rows=[_row_of(row) for row in plan.rows],
        conflicts=[PlanConflict(**conflict) for conflict in plan.conflicts],
        versions=plan.versions,
        too_many_deletes=plan.too_many_deletes,
        digest=plan.digest,
        kept=plan.kept,
    )


def run_of(run: ClientRun) -> Run:
    return Run(
        id=run.id,
        source=run.source,
        plan=run.plan or None,
        outcome=run.outcome,
        started_at=to_datetime(run.started_microseconds),
        ended_at=to_datetime(run.ended_microseconds) if run.ended_microseconds else None,
        summary=run.summary,
        versions=run.versions,
        merges=run.merges,
        conflicts=[PlanConflict(**conflict) for conflict in run.conflicts],
        moved=run.moved,
        failures=[RunFailure(**failure) for failure in run.failures],
        message=run.message,
    )


def _row_of(row: ClientRow) -> PlanRow:
    return PlanRow(**msgspec.structs.asdict(row) | {"path": format_path(row.path)})


async def make_plan(call: Call) -> Answer:
    """What a run would do by now, from what was pushed. Nothing is written but the plan itself."""
    return Answer(plan_of(await call.client.reconcile.plan(call.path["name"])), 201)


async def get_plan(call: Call) -> Answer:
    return Answer(plan_of(await call.client.reconcile.get_plan(call.path["id"])))


class ApplyPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """plan: its id. select: which rows of it, by values of some of their fields, all of which have to hold; null: all. force: however many deletes
    there are."""

    plan: str
    select: dict[Literal["document", "model", "id", "action", "direction", "outcome"], tuple[str, ...]] | None = None
    force: bool = False


async def apply(call: Call) -> Answer:
    """Does what was planned, or of that what is selected, and answers once it is done. A document that has moved since is left alone."""
    said: ApplyPlan = call.body
    select: Any = said.select
    return Answer(run_of(await call.client.reconcile.apply(said.plan, select=select, force=said.force)))


async def list_runs(call: Call) -> Answer:
    """The newest runs first."""
    found = await call.client.reconcile.runs(call.path["name"], limit=limit_of(call))
    return page_answer(Page(items=[run_of(run) for run in found]))


async def get_run(call: Call) -> Answer:
    return Answer(run_of(await call.client.reconcile.get_run(call.path["id"])))


OPERATIONS = (
    Operation(
        method="GET",
        path="/reconcile/sources",
        id="listSources",
        summary="Every source, and how it stands with its runs",
        group=_GROUP,
        handler=list_sources,
        query=NamesQuery,
        answers={200: Page[ListedSource]},
        answer_headers=PAGE_HEADERS,
    ),
    reading(_SOURCES),
    putting(_SOURCES),
    deleting(_SOURCES),
    Operation(
        method="PUT",
        path="/reconcile/sources/{name}/snapshot",
        id="pushSnapshot",
        summary="Say what a source has",
        group=_GROUP,
        handler=push_snapshot,
        query=SaidQuery,
        bodies={JSON: Any},
        answers={200: Version},
    ),
    Operation(
        method="POST",
        path="/reconcile/sources/{name}/plans",
        id="makePlan",
        summary="Plan a reconciliation",
        group=_GROUP,
        handler=make_plan,
        answers={201: Plan},
    ),
    Operation(
        method="GET",
        path="/reconcile/sources/{name}/runs",
        id="listRuns",
        summary="The newest runs of a source",
        group=_GROUP,
        handler=list_runs,
        query=PageQuery,
        answers={200: Page[Run]},
    ),
    Operation(
        method="GET",
        path="/reconcile/plans/{id:path}",
        id="getPlan",
        summary="A plan",
        group=_GROUP,
        handler=get_plan,
        answers={200: Plan},
    ),
    Operation(
        method="POST",
        path="/reconcile/apply",
        id="applyPlan",
        summary="Do what was planned",
        group=_GROUP,
        handler=apply,
        bodies={JSON: ApplyPlan},
        answers={200: Run},
    ),
    Operation(
        method="GET",
        path="/reconcile/runs/{id:path}",
        id="getRun",
        summary="What came of a plan",
        group=_GROUP,
        handler=get_run,
        answers={200: Run},
    ),
)
