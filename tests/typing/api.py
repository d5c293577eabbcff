"""The public API, as a type checker sees it: `mypy tests/typing/api.py` has nothing to say. It is never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

import msgspec

import palimpsest as pal
from palimpsest.client import (
    BackupReport,
    Blame,
    Digest,
    ImportReport,
    PruneReport,
    Share,
    Stats,
    SyncPerspectives,
    SyncPolicies,
    SyncSchemas,
    SyncSubscription,
    SyncWatchedValue,
)
from palimpsest.state.retention import Retention
from palimpsest.state.schemas import Schema
from palimpsest.sync import AdapterSource, PeerSource, Plan, Row, Run, Source, SourceState


async def documents(url: str) -> None:
    async with pal.connect(url, token="secret", client_id="me", timeout_seconds=5.0) as client:
        assert_type(client, pal.Client)
        made = await client.create("notes/1", {"title": "A"}, by="ana", tags={"import"}, description="first")
        assert_type(made, pal.Version)
        assert_type(made.version, int)
        assert_type(made.at, datetime)
        assert_type(made.kind, pal.Kind)
        assert_type(made.by, str | None)
        assert_type(made.tags, frozenset[str])
        assert_type(made.repeat, bool)
        assert_type(made.delta, pal.Delta | None)
        changes = {"title": "B", "meta.stars": pal.Increment(1), "draft": pal.DELETE, "tags": pal.Append("x")}
        assert_type(await client.update("notes/1", changes, expect=1, request_id="order-5"), pal.Version)
        assert_type(await client.update("notes/1", pal.Delta().set("a.b", 1).test("title", "B")), pal.Version)
        assert_type(await client.update("notes/1", {("a", 0): pal.Insert(0, "x"), "b": pal.Remove(2)}), pal.Version)
        found = await client.get("notes/1", branch="main", version=1)
        assert_type(found, pal.Document)
        assert_type(found.id, str)
        assert_type(found.value, Any)
        assert_type(await client.get_many(["notes/1", "notes/2"]), list[pal.Document | None])
        assert_type(client.list("notes/*"), AsyncIterator[str])
        assert_type(client.history("notes/1", newest_first=False, limit=50), AsyncIterator[pal.Version])
        assert_type(await client.delete("notes/1", expect=2), pal.Version)
        parts = {"notes/1": {"a": 1}, "notes/2": pal.Create([]), "notes/3": pal.DELETE, "notes/4": pal.Delta()}
        assert_type(await client.transaction(parts, expect={"notes/1": 4}), dict[str, pal.Version])
        async with client.edit("notes/1", by="ana") as draft:
            draft["meta"]["seen"] = True
        assert_type(await client.ping(), float)
        assert_type(client.statistics(), dict[str, int])
        assert_type(await client.observe(subscribers=5), pal.Observation)
        assert_type(await client.revert("notes/1", 1), pal.Version)
        assert_type(await client.revert("notes/1", 1, dry_run=True), pal.Delta)
        assert_type(await client.undo("notes/1", 2, dry_run=bool(made.version)), pal.Version | pal.Delta)
        assert_type(made.trace, str | None)
    assert_type(await pal.connect(url), pal.Client)


async def history(client: pal.Client) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    assert_type(await client.get("notes/1", at=moment), pal.Document)
    assert_type(await client.get("notes/1", tag="released"), pal.Document)
    found = client.history(
        "notes/1", since=moment, until=moment, by="bo", tags={"ui"}, tags_all=["a", "b"], path=("a", 0), first=1, last=9
    )
    async for version in found:
        assert_type(version, pal.Version)
    assert_type(await client.diff("notes/1", 1, "draft:4"), pal.Delta)
    assert_type(await client.diff("notes/1", moment, "main"), pal.Delta)
    blame = await client.blame("notes/1", version=3, path="meta")
    assert_type(blame, Blame)
    assert_type(blame["meta.stars"], pal.Version)
    assert_type(blame.exact, bool)
    assert_type(await client.revert("notes/1", to=1, expect=4, by="ana", request_id="back"), pal.Version)
    assert_type(await client.undo("notes/1", version=3), pal.Version)
    await client.tag("notes/1", version=3, tags={"released"}, by="ana", description="at last")
    await client.untag("notes/1", 3, ["released"])
    digest = await client.digest("notes/1")
    assert_type(digest, Digest)
    assert_type(digest.hex, str)
    changes = {"notes/1": {"a": 1}}
    assert_type(await client.transaction(changes, at=moment), dict[str, pal.Version])


async def branches(client: pal.Client) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    branch = await client.branch("notes/1", "draft", at=3, by="ana", description="a try", request_id="b")
    assert_type(branch, pal.Branch)
    assert_type(branch.base, tuple[str, int] | None)
    assert_type(branch.at, datetime | None)
    await client.branch("notes/1", "draft", at=moment)
    await client.branch("configs/**", "experiment", at="main")
    assert_type(await client.branches("notes/1", deleted=True), list[pal.Branch])
    assert_type(await client.delete_branch("notes/1", "draft", by="ana"), list[pal.Branch])
    async for version in client.history("notes/1", branch="draft"):
        assert_type(version.parents, pal.Parents | None)
    both = {"notes/1": {"a": 1}, ("notes/1", "draft"): {"a": 1}}
    made = await client.transaction(both, expect={"notes/2": 4, ("notes/2", "draft"): 0})
    assert_type(made["notes/1", "draft"], pal.Version)
    await client.transaction({"notes/1": {"a": 1}, ("notes/1", "draft"): pal.DELETE})
    join = pal.Join({"a": 1}, base=("main", 5), merged=["draft:9", ("main", 7)])
    assert_type(await client.transaction({("notes/1", "draft"): join}), dict[tuple[str, str], pal.Version])
    mixed: dict[str | tuple[str, str], Any] = {"notes/1": {"a": 1}, ("notes/2", "draft"): pal.DELETE}
    assert_type(await client.transaction(mixed), dict[str | tuple[str, str], pal.Version])


async def merges(client: pal.Client) -> None:
    result = await client.merge(
        "notes/1", source="draft:9", into="main", rules={"tags": "union"}, expect=4, squash=True
    )
    assert_type(result, pal.MergeResult)
    assert_type(result.merge_id, str | None)
    assert_type(result.version, int | None)
    assert_type(result.committed, bool)
    assert_type(result.at, datetime | None)
    assert_type(result.delta, pal.Delta | None)
    assert_type(result.base, tuple[str, int] | None)
    assert_type(result.base_reason, str | None)
    assert_type(result.conflicts, list[pal.MergeConflict])
    assert_type(result.parts, list[pal.MergePart])
    for conflict in result.conflicts:
        assert_type(conflict.ours, Any)
        assert_type(conflict.to_data(), dict[str, Any])
    assert_type(await client.merge("configs/**", "experiment", dry_run=True), pal.MergeResult)
    assert_type(await client.cherry_pick("notes/1", "draft:9", into="main", rules={"": "theirs"}), pal.MergeResult)
    assert_type(await client.rebase("notes/1", "draft", onto="main:9"), pal.MergeResult)
    if result.merge_id is not None:
        chosen = {"title": pal.OURS, ("notes/1", "tags.0"): pal.Value(["x"]), "draft": pal.DELETE}
        assert_type(await client.resolve(result.merge_id, chosen, by="ana", tags={"merged"}), pal.MergeResult)
        assert_type(await client.merge_state(result.merge_id), pal.MergeResult)
        await client.abandon(result.merge_id)
    assert_type(await client.merges("notes/*"), list[pal.PendingMerge])


async def keeping(client: pal.Client) -> None:
    def tell(done: int, total: int) -> None: ...

    assert_type(await client.erase("notes/1", "people.*.mail", by="ana", description="asked for it"), pal.Version)
    report = await client.prune("logs/**", versions=10, age=timedelta(days=30), tags={"v*"}, on_progress=tell)
    assert_type(report, PruneReport)
    assert_type(report.largest, tuple[Share, ...])
    assert_type(await client.prune(age=3600, bytes_max=10_000_000, dry_run=False), PruneReport)
    assert_type(await client.stats("notes/*", largest=5), Stats)
    assert_type(await client.backup("/var/backups/state", on_progress=tell), BackupReport)
    assert_type(client.list("**", deleted=True), AsyncIterator[str])
    policy = Retention(documents="logs/**", versions=10)
    assert_type(await client.retention.put("logs", policy, by="ana"), pal.Version)
    assert_type(await client.retention.get("logs"), Retention)
    assert_type(client.retention.list(), AsyncIterator[tuple[str, Retention]])
    assert_type(await client.retention.delete("logs"), pal.Version)
    lines = client.export("notes/**", after=("notes/1", "main", 3))
    assert_type(lines, AsyncIterator[dict[str, Any]])
    assert_type(client.export("notes/**", branch="draft", family="note", level=1), AsyncIterator[dict[str, Any]])
    assert_type(await client.import_history(lines), ImportReport)
    assert_type(await client.import_history(["{}", b"{}", {}], on_progress=tell), ImportReport)


async def named_subscriptions(client: pal.Client) -> None:
    async with client.subscribe("notes/*", name="billing", ack_seconds=2.5, tries_max=3, unacked_max=100) as changes:
        change = await anext(changes)
        assert_type(change.tries, int)
        await changes.ack(change)
        await changes.nack(change, reason="no", delay_seconds=1)
    assert_type(await client.subscriptions(), list[pal.SubscriptionState])
    state = await client.subscription_state("billing")
    assert_type(state.dead_letters, tuple[pal.DeadLetter, ...])
    assert_type(await client.redrive("billing", *state.dead_letters), str)
    assert_type(await client.delete_subscription("billing", by="ana"), None)


async def subscriptions(client: pal.Client) -> None:
    async with client.subscribe("notes/*", start="beginning", values=True) as changes:
        assert_type(changes, pal.Subscription)
        assert_type(changes.cursor, str)
        async for change in changes:
            assert_type(change, pal.Change)
            assert_type(change.delta, pal.Delta)
            assert_type(change.cursor, str)
            assert_type(change.value, Any)
    client.subscribe("notes/1", resume_after="cursor", start="snapshot", policy="disconnect", on_state=print)
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    client.subscribe("notes/1", from_time=moment, speed=2.5, by="ana", tags={"a"}, tags_all=["b"], path="meta.stars")
    client.subscribe("notes/1", from_version=3, kinds={pal.Kind.UPDATE}, values=True, policy="latest")
    async with client.subscribe("notes/*", start="snapshot") as changes:
        assert_type(changes.current, bool)
        assert_type((await anext(changes)).snapshot, bool)
        async for group in changes.transactions():
            assert_type(group, list[pal.Change])


async def reactions(client: pal.Client) -> None:
    async def give_up(change: pal.Change, error: Exception) -> None: ...

    @client.on("notes/*", tags={"publish"}, concurrency_max=4, retries=1, on_error=give_up, resume_after="cursor")
    async def publish(change: pal.Change) -> None: ...

    assert_type(publish, pal.Reaction)
    async with publish:
        assert_type(publish.cursor, str)
        await publish.wait()

    @client.on_reconnect
    async def told(event: pal.Reconnected) -> None:
        assert_type(event.attempts, int)
        assert_type(event.seconds, float)

    client.on_reconnect(lambda event: print(event.subscriptions))


async def watching(client: pal.Client) -> None:
    async with client.watch_value("config/main", branch="main", path=("a", 0), default={}) as config:
        assert_type(config, pal.WatchedValue)
        assert_type(config.value, Any)
        assert_type(await config.changed(), Any)
        assert_type(config.age_seconds, float)
        assert_type(config.version, int | None)


class Note(msgspec.Struct):
    title: str


async def perspectives(client: pal.Client) -> None:
    public = pal.Perspective(name="public", documents="notes/*", include=("title",), mask={"title": pal.Mask()})
    assert_type(await client.perspectives.put(public, by="ana"), pal.Version)
    assert_type(await client.perspectives.get("public"), pal.Perspective)
    assert_type(client.perspectives.list(), AsyncIterator[pal.Perspective])
    assert_type(await client.perspectives.delete("public"), pal.Version)
    assert_type(pal.Perspective.from_struct(Note, name="note", documents="notes/*"), pal.Perspective)
    found = await client.get("notes/1", perspective="public")
    assert_type(found, pal.Document)
    typed = await client.get("notes/1", family="note", level=1, as_=Note)
    assert_type(typed, pal.Document[Note])
    assert_type(typed.value, Note)
    assert_type(typed.copy_value(), Any)
    assert_type(await client.get_many(["notes/1"], as_=Note), list[pal.Document[Note] | None])
    assert_type(client.list("notes/*", perspective="public"), AsyncIterator[str])
    assert_type(client.list("notes/*", values=True, perspective="public"), AsyncIterator[pal.Document])
    assert_type(await client.update("notes/1", {"title": "B"}, perspective="public"), pal.Version)
    async with client.subscribe("notes/*", family="note", level=1) as changes:
        changes.set_level(2)
    async with client.watch_value("notes/1", perspective="public") as watched:
        assert_type(watched, pal.WatchedValue)


async def reconciling(client: pal.Client, peer: pal.Client) -> None:
    source = Source(documents="inventory", rules={"**": "theirs"}, max_deletes=0.1, interval_seconds=60)
    words = client.reconcile
    assert_type(await words.put("crm", source, by="ana"), pal.Version)
    assert_type(await words.get("crm"), Source)
    assert_type(await words.sources(), list[tuple[str, Source]])
    assert_type(await words.state("crm"), SourceState)
    words.bind("crm", PeerSource(peer, source))
    words.bind("erp", AdapterSource(load_adapter))
    assert_type(await words.push("erp", {"device": {}}), pal.Version)
    plan = await words.plan("crm")
    assert_type(plan, Plan)
    assert_type(plan.rows, list[Row])
    assert_type(plan.at, datetime)
    assert_type(plan.summary, dict[str, int])
    assert_type(await words.apply(plan, select={"action": {"create"}}, force=True), Run)
    assert_type(await words.apply(plan.id, select=lambda row: row.model == "device"), Run)
    assert_type(await words.run("crm"), Run)
    assert_type(await words.runs("crm", limit=5), list[Run])
    assert_type(await words.get_run("crm/1"), Run)
    async for event in words.watch("crm"):
        assert_type(event, dict[str, Any])
    await words.schedule("crm", on_run=print)
    assert_type(await words.delete("crm"), pal.Version)


def load_adapter() -> Any: ...


async def schemas(client: pal.Client) -> None:
    assert_type(await client.schemas.put("note", documents="notes/*", schema=Note), pal.Version)
    assert_type(await client.schemas.put("any", documents="**", schema={"type": "object"}, check=False), pal.Version)
    assert_type(await client.schemas.get("note"), Schema)
    assert_type(client.schemas.list(), AsyncIterator[Schema])
    assert_type(await client.schemas.check("note"), list[pal.errors.SchemaViolation])
    assert_type(await client.schemas.delete("note"), pal.Version)


def blocking(url: str) -> None:
    with pal.connect_sync(url) as client:
        assert_type(client, pal.SyncClient)
        assert_type(client.create("notes/1", None), pal.Version)
        assert_type(client.update("notes/1", {"": 5}), pal.Version)
        assert_type(client.get("notes/1"), pal.Document)
        assert_type(client.get_many(["notes/1"]), list[pal.Document | None])
        assert_type(client.list("**"), Iterator[str])
        assert_type(client.history("notes/1"), Iterator[pal.Version])
        assert_type(client.transaction({"notes/1": {}}), dict[str, pal.Version])
        assert_type(client.edit("notes/1"), AbstractContextManager[Any])
        assert_type(client.get("notes/1", tag="released"), pal.Document)
        assert_type(client.diff("notes/1", 1, 2), pal.Delta)
        assert_type(client.blame("notes/1"), Blame)
        assert_type(client.undo("notes/1", version=3), pal.Version)
        client.tag("notes/1", version=3, tags={"released"})
        assert_type(client.transaction({("notes/1", "draft"): {}}), dict[tuple[str, str], pal.Version])
        assert_type(client.branch("notes/1", "draft", at=3), pal.Branch)
        assert_type(client.merge("notes/1", source="draft"), pal.MergeResult)
        assert_type(client.merges(), list[pal.PendingMerge])
        assert_type(client.prune(versions=10), PruneReport)
        assert_type(client.stats(), Stats)
        assert_type(client.perspectives, SyncPerspectives)
        assert_type(client.perspectives.list(), Iterator[pal.Perspective])
        assert_type(client.schemas, SyncSchemas)
        assert_type(client.schemas.check("note"), list[pal.errors.SchemaViolation])
        assert_type(client.get("notes/1", as_=Note), pal.Document[Note])
        assert_type(client.list("notes/*", values=True), Iterator[pal.Document])
        assert_type(client.retention, SyncPolicies)
        assert_type(client.retention.list(), Iterator[tuple[str, Retention]])
        assert_type(client.export(), Iterator[dict[str, Any]])
        assert_type(client.observe(), pal.Observation)
        assert_type(client.reconcile.sources(), list[tuple[str, Source]])
        assert_type(client.reconcile.plan("crm"), Plan)
        assert_type(client.reconcile.run("crm", force=True), Run)
        with open("history.ndjson") as lines:
            assert_type(client.import_history(lines), ImportReport)
        with client.subscribe("**") as changes:
            assert_type(changes, SyncSubscription)
            assert_type(next(changes), pal.Change)
            assert_type(changes.transactions(), Iterator[list[pal.Change]])
        with client.watch_value("config/main", default=0) as config:
            assert_type(config, SyncWatchedValue)
            assert_type(config.changed(timeout_seconds=5), Any)


async def embedded() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        assert_type(server.url, str)
        assert_type(client, pal.Client)
    async with pal.Server("state.db", host="127.0.0.1", port=0) as server:
        assert_type(server, pal.Server)
