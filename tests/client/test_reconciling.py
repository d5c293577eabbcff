from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

import palimpsest as pal
from palimpsest.client import Client
from palimpsest.client.leasing import Lease, read_state
from palimpsest.client.plans import Plan, PlanMoved, Run, SourceBusy, TooManyDeletes
from palimpsest.errors import DocumentNotFound, InvalidName, InvalidRequest, InvalidValue
from palimpsest.state.reconciliation import Row
from palimpsest.state.sources import Source

pytestmark = pytest.mark.anyio

SITES: dict[str, Any] = {"site": {"ber": {"racks": 1}, "muc": {"racks": 2}, "zrh": {"racks": 3}}}


class Outside:
    """A system outside that is a dict. refused: ids of which no change is taken. calls: how many rows each batch had."""

    def __init__(self, models: dict[str, Any]) -> None:
        self.models = copy.deepcopy(models)
        self.refused: set[str] = set()
        self.calls: list[int] = []
        self.error: Exception | None = None

    async def snapshot(self) -> Any:
        if self.error is not None:
            raise self.error
        return copy.deepcopy(self.models)

    async def apply(self, rows: Sequence[Row]) -> list[str | None]:
        self.calls.append(len(rows))
        return [self.one(row) for row in rows]

    def one(self, row: Row) -> str | None:
        if row.id in self.refused:
            return "refused"
        objects = self.models.setdefault(row.model, {})
        if row.action == "delete":
            del objects[row.id]
        else:
            objects[row.id] = row.after
        return None


@pytest.fixture
async def client(anyio_backend: object) -> AsyncIterator[Client]:
    async with pal.Server.memory() as server, server.connect() as connected:
        yield connected


async def make(client: Client, models: dict[str, Any] = SITES, **settings: Any) -> Outside:
    """A source `box` of the document `inv`."""
    await client.reconcile.put("box", Source(**{"documents": "inv", "direction": "both", **settings}), by="ana")
    outside = Outside(models)
    client.reconcile.bind("box", outside)
    return outside


async def value(client: Client) -> Any:
    return (await client.get("inv")).value


# --- sources -----------------------------------------------------------------------------------------------------------


async def test_sources_come_and_go(client: Client) -> None:
    await make(client, rules={"site.*.racks": "max"}, max_deletes=0.5)
    found = await client.reconcile.get("box")
    assert (found.rules, found.max_deletes, found.on_conflict) == ({"site.*.racks": "max"}, 0.5, "fail")
    assert await client.reconcile.sources() == [("box", found)]
    await client.reconcile.delete("box")
    assert await client.reconcile.sources() == []
    with pytest.raises(DocumentNotFound):
        await client.reconcile.run("box")


@pytest.mark.parametrize("documents", ["", "a/*", "$system/x", "**", "a**"])
async def test_sources_that_make_no_sense(client: Client, documents: str) -> None:
    with pytest.raises(InvalidValue):
        await client.reconcile.put("box", Source(documents=documents))


async def test_names_and_rules_that_are_none(client: Client) -> None:
    with pytest.raises(InvalidName):
        await client.reconcile.put("a/b", Source(documents="inv"))
    with pytest.raises(InvalidValue, match="no rule"):
        await client.reconcile.put("box", Source(documents="inv", rules={"a": "loudest"}))
    with pytest.raises(InvalidRequest):
        await client.reconcile.put("box", {"documents": "inv"})  # type: ignore[arg-type]
    with pytest.raises(InvalidValue):
        await client.create("$system/sources/box", {"documents": "inv", "unheard_of": 1})


# --- plans -------------------------------------------------------------------------------------------------------------


async def test_a_plan_writes_nothing_but_itself(client: Client) -> None:
    await make(client)
    await client.create("inv", {"site": {"ber": {"racks": 1}, "par": {"racks": 9}}})
    plan = await client.reconcile.plan("box")
    assert plan.summary == {"in.create": 2, "out.create": 1}
    assert [name async for name in client.list("**")] == ["inv"]
    assert (await client.get("inv")).version == 1
    assert [branch.name for branch in await client.branches("inv")] == ["main"]
    assert await client.reconcile.get_plan(plan.id) == plan
    again = await client.reconcile.plan("box")
    assert (again.digest, again.id) == (plan.digest, max(again.id, plan.id))
    await client.update("inv", {"site.par.racks": 8})
    assert (await client.reconcile.plan("box")).digest != plan.digest


async def test_what_is_applied_is_what_was_planned(client: Client) -> None:
    outside = await make(client)
    plan = await client.reconcile.plan("box")
    outside.models["site"]["late"] = {"racks": 7}
    run = await client.reconcile.apply(plan.id)
    assert (run.outcome, run.summary, run.plan) == ("applied", {"in.create": 3}, plan.id)
    assert await value(client) == SITES
    assert await client.reconcile.get_run(run.id) == run
    assert (await client.blame("inv"))["site.ber.racks"].by == "sync/box"


@pytest.mark.parametrize(
    ("select", "made"),
    [
        ({"id": "ber"}, {"ber"}),
        ({"id": ["ber", "zrh"], "action": "create"}, {"ber", "zrh"}),
        ({"model": "rack"}, set()),
        (lambda row: row.after.get("racks") == 2, {"muc"}),
    ],
    ids=["id", "ids", "model", "predicate"],
)
async def test_a_part_of_a_plan(client: Client, select: Any, made: set[str]) -> None:
    await make(client)
    run = await client.reconcile.apply(await client.reconcile.plan("box"), select=select)
    assert (await value(client)).get("site", {}).keys() == made
    assert run.summary.get("in.create", 0) == len(made)
    assert (await client.reconcile.plan("box")).summary.get("in.create", 0) == 3 - len(made)
    await client.reconcile.run("box")
    assert await value(client) == SITES


async def test_rows_are_selected_by_what_they_have(client: Client) -> None:
    await make(client)
    with pytest.raises(InvalidRequest, match="selected by"):
        await client.reconcile.apply(await client.reconcile.plan("box"), select={"colour": "red"})


async def test_what_has_moved_is_said_and_nothing_is_done(client: Client) -> None:
    outside = await make(client)
    await client.reconcile.run("box")
    outside.models["site"]["ber"]["racks"] = 5
    plan = await client.reconcile.plan("box")
    await client.update("inv", {"site.muc.racks": 9})
    with pytest.raises(PlanMoved) as caught:
        await client.reconcile.apply(plan)
    assert caught.value.documents == ["inv"]
    assert (await value(client))["site"]["ber"] == {"racks": 1}
    [run, _] = await client.reconcile.runs("box")
    assert (run.outcome, run.moved) == ("moved", ["inv"])


async def test_rebase_takes_in_what_was_planned_all_the_same(client: Client) -> None:
    outside = await make(client, on_conflict="rebase")
    await client.reconcile.run("box")
    outside.models["site"]["ber"]["racks"] = 5
    plan = await client.reconcile.plan("box")
    await client.update("inv", {"site.muc.racks": 9})
    assert (await client.reconcile.apply(plan)).outcome == "applied"
    assert (await value(client))["site"] == {"ber": {"racks": 5}, "muc": {"racks": 9}, "zrh": {"racks": 3}}
    with pytest.raises(PlanMoved):
        await client.reconcile.apply(plan)


# --- three ways --------------------------------------------------------------------------------------------------------


async def test_deleted_there_and_added_here_are_told_apart(client: Client) -> None:
    outside = await make(client, direction="in")
    await client.reconcile.run("box")
    await client.update("inv", {"site.here": {"racks": 4}, "site.ber.note": "ours"})
    del outside.models["site"]["muc"]
    run = await client.reconcile.run("box")
    assert run.summary == {"in.delete": 1}
    expected = {"ber": {"racks": 1, "note": "ours"}, "zrh": {"racks": 3}, "here": {"racks": 4}}
    assert (await value(client))["site"] == expected
    assert "here" not in outside.models["site"]
    assert (await client.reconcile.plan("box")).is_empty


async def test_what_the_document_had_before_the_first_time_stays(client: Client) -> None:
    await client.create("inv", {"site": {"ber": {"racks": 1}, "par": {"racks": 9}}, "title": "Sites"})
    outside = await make(client, direction="in")
    await client.reconcile.run("box")
    assert await value(client) == {"site": {**SITES["site"], "par": {"racks": 9}}, "title": "Sites"}
    del outside.models["site"]["ber"]
    await client.reconcile.run("box")
    assert (await value(client))["site"].keys() == {"muc", "zrh", "par"}


async def test_a_first_time_that_was_interrupted_is_begun_again(client: Client) -> None:
    await client.create("inv", {"site": {"par": {"racks": 9}}})
    await client.branch("inv", "sync/box/first", at=1)
    await client.branch("inv", "sync/box", at=1)
    await client.update("inv", {"": {"site": {}}}, branch="sync/box")
    await make(client, direction="in")
    await client.reconcile.run("box")
    assert (await value(client))["site"].keys() == {"ber", "muc", "zrh", "par"}
    assert [branch.name for branch in await client.branches("inv")] == ["main", "sync/box"]


async def test_a_conflict_waits_and_the_rest_goes_on(client: Client) -> None:
    outside = await make(client)
    await client.reconcile.run("box")
    await client.update("inv", {"site.ber.racks": 10, "site.ber.note": "ours"})
    outside.models["site"]["ber"] = {"racks": 20, "city": "Berlin"}
    outside.models["site"]["muc"]["racks"] = 5
    run = await client.reconcile.run("box")
    assert run.outcome == "conflict"
    [conflict] = run.conflicts
    assert (conflict["path"], conflict["base"], conflict["ours"], conflict["theirs"]) == ("site.ber.racks", 1, 10, 20)
    assert (await value(client))["site"]["ber"] == {"racks": 10, "note": "ours", "city": "Berlin"}
    assert outside.models["site"]["ber"] == {"racks": 20, "note": "ours", "city": "Berlin"}
    assert (await value(client))["site"]["muc"] == {"racks": 5}
    again = await client.reconcile.run("box")
    assert again.merges == run.merges
    assert len(await client.merges("inv")) == 1
    await client.resolve(run.merges["inv"], {"site.ber.racks": pal.Value(15)})
    assert (await client.reconcile.run("box")).outcome == "applied"
    assert outside.models == await value(client)
    assert outside.models["site"]["ber"]["racks"] == 15


async def test_a_conflict_that_is_none_any_more_is_abandoned(client: Client) -> None:
    outside = await make(client)
    await client.reconcile.run("box")
    await client.update("inv", {"site.ber.racks": 10})
    outside.models["site"]["ber"]["racks"] = 20
    assert (await client.reconcile.run("box")).merges
    outside.models["site"]["ber"]["racks"] = 10
    assert (await client.reconcile.run("box")).outcome == "applied"
    assert await client.merges("inv") == []


@pytest.mark.parametrize(
    ("settings", "racks"),
    [
        ({"on_conflict": "source"}, 20),
        ({"on_conflict": "document"}, 10),
        ({"rules": {"site.*.racks": "sum"}}, 29),
        ({"on_conflict": "source", "rules": {"site.ber": "ours"}}, 10),
    ],
    ids=["source", "document", "sum", "rule first"],
)
async def test_conflicts_that_are_decided(client: Client, settings: dict[str, Any], racks: int) -> None:
    outside = await make(client, **settings)
    await client.reconcile.run("box")
    await client.update("inv", {"site.ber.racks": 10})
    outside.models["site"]["ber"]["racks"] = 20
    assert (await client.reconcile.run("box")).outcome == "applied"
    assert (await value(client))["site"]["ber"]["racks"] == racks
    assert outside.models["site"]["ber"]["racks"] == racks
    assert (await client.reconcile.plan("box")).is_empty


@pytest.mark.parametrize(("limit", "ok"), [(2, False), (3, True), (0.5, False), (1.0, True), (None, True)])
async def test_an_empty_source(client: Client, limit: float | None, ok: bool) -> None:
    outside = await make(client, max_deletes=limit)
    await client.reconcile.run("box")
    outside.models = {"site": {}}
    plan = await client.reconcile.plan("box")
    if not ok:
        assert plan.too_many_deletes is not None
        with pytest.raises(TooManyDeletes) as caught:
            await client.reconcile.run("box")
        assert caught.value.deletes == 3
        assert await value(client) == SITES
        assert (await client.reconcile.state("box")).last_outcome == "refused"
        assert (await client.reconcile.apply(plan, select={"id": "ber"})).outcome == "applied"
        assert (await client.reconcile.run("box", force=True)).outcome == "applied"
    else:
        await client.reconcile.run("box")
    assert await value(client) == {"site": {}}


# --- outwards ----------------------------------------------------------------------------------------------------------


async def test_changes_go_out_in_batches(client: Client) -> None:
    outside = await make(client, {"site": {}}, direction="out", batch=2)
    await client.create("inv", SITES)
    assert (await client.reconcile.run("box")).summary == {"out.create": 3}
    assert outside.calls == [2, 1]
    outside.models["site"]["extra"] = {"racks": 1}
    await client.update("inv", {"site.ber": pal.DELETE, "site.muc.racks": 4})
    assert (await client.reconcile.run("box")).summary == {"out.delete": 1, "out.update": 1}
    assert outside.models["site"] == {"muc": {"racks": 4}, "zrh": {"racks": 3}, "extra": {"racks": 1}}
    assert "extra" not in (await value(client))["site"]


async def test_what_fails_outside_is_said_and_tried_again(client: Client) -> None:
    outside = await make(client, {"site": {}}, direction="out")
    await client.create("inv", SITES)
    outside.refused = {"muc"}
    run = await client.reconcile.run("box")
    assert (run.outcome, run.summary) == ("partial", {"out.create": 2, "out.failed": 1})
    assert run.failures == [{"document": "inv", "model": "site", "id": "muc", "action": "create", "message": "refused"}]
    outside.refused = set()
    assert (await client.reconcile.run("box")).summary == {"out.create": 1}
    assert outside.models == SITES


async def test_a_run_that_was_interrupted_is_taken_up(client: Client) -> None:
    class Breaking(Outside):
        async def apply(self, rows: Sequence[Row]) -> list[str | None]:
            if len(self.calls) == 1:
                raise InvalidRequest("the line is cut", reason="test")
            return await super().apply(rows)

    await make(client, direction="out", batch=2)
    await client.create("inv", SITES)
    breaking = Breaking({"site": {}})
    client.reconcile.bind("box", breaking)
    with pytest.raises(InvalidRequest, match="cut"):
        await client.reconcile.run("box")
    assert len(breaking.models["site"]) == 2
    rest = Outside(breaking.models)
    client.reconcile.bind("box", rest)
    assert (await client.reconcile.run("box")).summary == {"out.create": 1}
    assert rest.models == SITES
    await client.update("inv", {"site.ber": pal.DELETE})
    assert (await client.reconcile.run("box")).summary == {"out.delete": 1}


# --- a document for each object ----------------------------------------------------------------------------------------


async def test_a_document_for_each_object(client: Client) -> None:
    outside = await make(client, {"inv/site/ber": {"racks": 1}, "inv/site/muc": {"racks": 2}}, documents="inv/**")
    await client.create("inv/site/zrh", {"racks": 3})
    run = await client.reconcile.run("box")
    assert run.summary == {"in.create": 2, "out.create": 1}
    assert [name async for name in client.list("inv/**")] == ["inv/site/ber", "inv/site/muc", "inv/site/zrh"]
    assert outside.models["site"] == {"zrh": {"racks": 3}}
    assert run.versions.keys() == {"inv/site/ber", "inv/site/muc", "inv/site/zrh"}
    with pytest.raises(InvalidRequest, match="none of"):
        await client.reconcile.push("box", {"else/1": {}})
    with pytest.raises(InvalidValue):
        await client.reconcile.push("box", [])


async def test_a_snapshot_that_is_pushed(client: Client) -> None:
    await client.reconcile.put("box", Source(documents="inv", direction="both"))
    with pytest.raises(DocumentNotFound):
        await client.reconcile.plan("box")
    await client.reconcile.push("box", SITES, by="netbox")
    assert (await client.reconcile.run("box")).summary == {"in.create": 3}
    await client.reconcile.push("box", {"site": {"ber": {"racks": 8}}})
    await client.update("inv", {"site.new": {"racks": 1}})
    run = await client.reconcile.run("box")
    assert (run.outcome, run.summary) == ("partial", {"in.delete": 2, "in.update": 1, "out.failed": 1})
    assert (await value(client))["site"] == {"ber": {"racks": 8}, "new": {"racks": 1}}


# --- runs --------------------------------------------------------------------------------------------------------------


async def test_runs_and_plans_are_kept_so_many(client: Client) -> None:
    await make(client, keep=2)
    made = [await client.reconcile.run("box") for _ in range(4)]
    assert [run.id for run in await client.reconcile.runs("box")] == [made[3].id, made[2].id]
    assert len([name async for name in client.list("$system/plans/box/*")]) == 2
    assert (await client.reconcile.state("box")).last_run == made[3].id


async def test_what_goes_on_is_followed(client: Client) -> None:
    outside = await make(client)
    started = asyncio.Event()

    async def follow() -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        async with aclosing(client.reconcile.watch("box", on_ready=started.set)) as watched:
            async for event in watched:
                events.append(event)
                if event["kind"] == "ended" and len([one for one in events if one["kind"] == "ended"]) == 3:
                    break
        return events

    following = asyncio.create_task(follow())
    await started.wait()
    await client.reconcile.run("box")
    await client.update("inv", {"site.ber.racks": 10})
    outside.models["site"]["ber"]["racks"] = 20
    run = await client.reconcile.run("box")
    outside.error = InvalidRequest("away", reason="test")
    with pytest.raises(InvalidRequest, match="away"):
        await client.reconcile.run("box")
    events = await following
    kinds = ["started", "planned", "applied", "ended", "started", "planned", "conflict", "ended", "started", "failed"]
    assert [event["kind"] for event in events] == [*kinds, "ended"]
    assert events[6]["merge"] == run.merges["inv"]
    assert events[6]["paths"] == ["site.ber.racks"]
    assert events[9]["message"] == "away"


async def test_one_run_at_a_time(client: Client) -> None:
    await make(client)
    clock = pal.ManualClock()
    client.reconcile.clock = clock
    async with Lease(client, "box", clock, 60.0):
        with pytest.raises(SourceBusy) as caught:
            await client.reconcile.run("box")
        assert caught.value.source == "box"
        clock.advance(61)
        assert (await client.reconcile.run("box")).outcome == "applied"
    assert (await read_state(client, "box"))[0].holder == ""


async def test_of_two_that_begin_at_once_one_is_refused(client: Client) -> None:
    await make(client)
    came = await asyncio.gather(*[client.reconcile.run("box") for _ in range(2)], return_exceptions=True)
    assert sorted(type(one).__name__ for one in came) == ["Run", "SourceBusy"]


async def test_a_schedule(client: Client) -> None:
    outside = await make(client, interval_seconds=100.0)
    clock = pal.ManualClock()
    client.reconcile.clock = clock
    waited: list[float] = []
    came: list[Any] = []

    async def sleep(seconds: float) -> None:
        waited.append(round(seconds, 3))
        clock.advance(seconds)
        if len(came) == 1:
            outside.error = InvalidRequest("away", reason="test")
        if len(came) == 4:
            outside.error = None
        if len(came) == 6:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await client.reconcile.schedule("box", sleep=sleep, on_run=came.append)
    assert [type(one).__name__ for one in came] == ["Run", *3 * ["InvalidRequest"], "Run", "Run"]
    assert waited == [100.0, 30.0, 60.0, 120.0, 100.0, 100.0]


async def test_a_schedule_without_an_interval(client: Client) -> None:
    await make(client)
    with pytest.raises(InvalidRequest, match="no interval"):
        await client.reconcile.schedule("box")


def test_plans_and_runs_are_data() -> None:
    plan = Plan(id="box/1", source="box", at_microseconds=0, rows=[Row(document="inv", path=("a", "b"), id="b")])
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    assert plan.at.year == 1970
    run = Run(id="box/1", source="box")
    assert msgspec.json.decode(msgspec.json.encode(run), type=Run) == run
