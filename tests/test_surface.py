"""The public surface, pinned: what other people's programs are written against.

A change that makes a test fail here is one that they will notice. It belongs into CHANGELOG.md.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import palimpsest as pal
from palimpsest import errors, sync, testing
from palimpsest.client import FeedOptions
from palimpsest.client.blocking import SyncReconciling
from palimpsest.client.reconciling import Reconciling

ROOT = Path(__file__).parent.parent

NAMES = """
    ABSENT Allowance Append BASE BackupReport Blame Branch CONFLICT Change Client Clock Conflict Create DELETE DeadLetter Delta Digest Document Grant ImportReport Increment
    Insert Join Kind Limits ManualClock Mask MergeConflict MergePart MergeResult NewToken OURS Observation PalimpsestError Parents PendingMerge Perspective PruneReport
    Reaction Reconnected Remove Retention Role Server Settings Share Stats Subscription SubscriptionState SyncClient SystemClock THEIRS TlsFiles TokenInfo Value Version WatchedValue connect connect_sync
    errors restore run verify
"""

SAID = "branch by description tags request_id"
VIEW = "perspective family level"
WORDS = {
    "create": f"document value {SAID} {VIEW}",
    "update": f"document changes expect {SAID} {VIEW}",
    "delete": f"document expect {SAID} {VIEW}",
    "transaction": f"changes expect {SAID} at {VIEW}",
    "edit": f"document {SAID} {VIEW}",
    "get": f"document branch version at tag {VIEW} as_",
    "get_many": f"documents branch {VIEW} as_",
    "list": f"pattern branch deleted after limit values {VIEW}",
    "history": f"document branch newest_first limit first last since until by tags tags_all path {VIEW}",
    "diff": f"document a b branch {VIEW}",
    "blame": f"document branch version path {VIEW}",
    "revert": f"document to branch expect {SAID.removeprefix('branch ')} dry_run",
    "undo": f"document version branch expect {SAID.removeprefix('branch ')} dry_run",
    "tag": "document version tags branch by description request_id",
    "untag": "document version tags branch by description request_id",
    "digest": "document branch version",
    "branch": "document name at by description request_id",
    "delete_branch": "document name by description request_id",
    "branches": "document deleted",
    "merge": f"document source into rules dry_run squash expect {SAID.removeprefix('branch ')}",
    "cherry_pick": f"document version into rules dry_run expect {SAID.removeprefix('branch ')}",
    "rebase": "document branch onto rules dry_run by description request_id",
    "resolve": f"merge_id resolutions {SAID.removeprefix('branch ')}",
    "abandon": "merge_id by description request_id",
    "merge_state": "merge_id",
    "merges": "documents",
    "erase": "document path branch by description request_id",
    "prune": "documents branch versions age bytes_max tags dry_run on_progress",
    "stats": "documents branch largest on_progress",
    "backup": "path on_progress",
    "export": f"documents after branch {VIEW}",
    "import_history": "lines on_progress",
    "subscribe": f"pattern branch resume_after start from_version from_time values tags tags_all by path kinds policy speed {VIEW} name ack_seconds tries_max unacked_max on_state",
    "subscriptions": "",
    "subscription_state": "name",
    "delete_subscription": "name by description request_id",
    "redrive": "name letters",
    "watch_value": f"document branch path default {VIEW}",
    "observe": "subscribers",
    "ping": "",
    "close": "",
    "statistics": "",
}
"""The words of both clients, with the names of their parameters."""

SYNC_NAMES = """
    AdapterSource Compiled Failure NotAttached Outside PalimpsestAdapter PalimpsestModel PeerSource Plan PlanMoved Row Run Source SourceBusy
    SourceState SyncResult TooManyDeletes apply diff_async
"""

RECONCILING = {
    "put": "name source by description",
    "get": "name",
    "delete": "name by description",
    "sources": "",
    "state": "name",
    "push": "name snapshot by",
    "plan": "name",
    "get_plan": "plan_id",
    "apply": "plan select force",
    "run": "name force",
    "runs": "name limit",
    "get_run": "run_id",
}
"""The words of `reconcile` of both clients, with the names of their parameters."""

RECONCILING_ASYNC = {
    "bind": "name outside",
    "schedule": "name sleep on_run",
    "watch": "name on_ready",
}
"""Those that only the async client's class has."""

ADAPTER = {
    "attach": "client doc layout branch",
    "load": "version branch",
    "sync_from": "source diff_class flags callback diff",
    "commit": "",
    "rebase": "",
    "save": "",
    "compile": "diff",
}
"""The words that an adapter has beside those of DiffSync, or that differ from these."""

DELTA = """
    absent append apply copy decode delete encode from_json_patch from_mapping from_merge_patch from_ops increment insert
    inverse move ops remove replace set splice test to_json_patch
"""

FIELDS = {
    pal.Document: "id branch version value kind at by description tags trace",
    pal.Version: "document branch version delta kind at by description tags request repeat parents trace",
    pal.Change: "document branch version value delta kind at by description tags cursor more parents snapshot tries position epoch trace",
    pal.Observation: "epoch agent started_at at counters gauges histograms requests refusals subscribers named uptime_seconds",
    pal.Subscription: "cursor live current transactions set_level ack nack",
    pal.Reaction: "cursor waiting wait",
    pal.Reconnected: "attempts seconds subscriptions",
    pal.WatchedValue: "value version exists connected age_seconds changed",
    pal.Parents: "base merged",
    pal.Join: "changes base merged",
    pal.Branch: "document name base head at by description deleted",
    pal.MergeResult: "merge_id version conflicts parts committed dry_run at repeat delta base base_reason",
    pal.MergePart: "document source into base bases base_reason outcome version delta conflicts settled",
    pal.MergeConflict: "document path kind base ours theirs left_out to_data",
    pal.PendingMerge: "merge_id kind source into documents at by description tags",
    sync.Source: "documents direction rules on_conflict max_deletes depth batch interval_seconds jitter_seconds adapter keep description",
    sync.SourceState: "holder until last_run last_outcome last_message failures next_at",
    sync.Plan: "id source at at_microseconds rows conflicts versions too_many_deletes digest kept summary is_empty",
    sync.Row: "document path model id direction action outcome before after",
    sync.Run: "id source plan outcome started_microseconds ended_microseconds summary versions merges conflicts moved failures message events",
    sync.SyncResult: "version versions summary failures",
    sync.Failure: "model id action message",
    sync.Compiled: "branch parts expect",
    sync.PalimpsestAdapter: "by description tags on_conflict versions",
    sync.Outside: "snapshot apply",
}

CODES = """
    access branch_exists branch_not_found commit_failed compacted conflict connection_lost cursor cursor_invalid
    delta_failed document_exists document_not_found durability_unknown forbidden frame_too_large internal
    invalid_delta invalid_name invalid_path invalid_perspective invalid_request invalid_value limit_exceeded link
    malformed_frame merge_not_found not_writable overload overloaded perspective_not_found plan_moved protocol
    request_timeout schema_too_new schema_violation server_closing source_busy storage store_corrupt store_locked
    subscription_not_found test_failed too_many_connections too_many_deletes unauthenticated undo_conflict
    unexpected_message unsupported_protocol usage version_conflict version_not_found version_pruned view_changed
"""
"""What errors are called on the wire. A code is never used again."""

FIXTURES = "palimpsest_client palimpsest_clock palimpsest_server palimpsest_sync_client"


def test_names() -> None:
    assert sorted(pal.__all__) == sorted(NAMES.split())
    assert all(hasattr(pal, name) for name in pal.__all__)


@pytest.mark.parametrize("kind", [pal.Client, pal.SyncClient])
@pytest.mark.parametrize("word", WORDS)
def test_words_of_the_clients(kind: type, word: str) -> None:
    assert parameters(getattr(kind, word)) == WORDS[word].split()


def test_words_of_the_async_client_alone() -> None:
    assert parameters(pal.Client.on) == ["pattern", "concurrency_max", "retries", "on_error", "options"]
    assert parameters(pal.Client.on_reconnect) == ["callback"]
    subscribe = [*parameters(pal.Client.subscribe)[1:-1]]
    assert sorted(FeedOptions.__annotations__) == sorted(subscribe), "what `on` hands on is what `subscribe` takes"


@pytest.mark.parametrize("kind", [Reconciling, SyncReconciling])
@pytest.mark.parametrize("word", RECONCILING)
def test_words_of_reconciling(kind: type, word: str) -> None:
    assert parameters(getattr(kind, word)) == RECONCILING[word].split()


@pytest.mark.parametrize("word", RECONCILING_ASYNC)
def test_words_of_reconciling_of_the_async_client_alone(word: str) -> None:
    assert parameters(getattr(Reconciling, word)) == RECONCILING_ASYNC[word].split()


def test_no_word_of_reconciling_is_missing_here() -> None:
    assert public(SyncReconciling) == sorted(RECONCILING)
    assert public(Reconciling) == sorted(RECONCILING | RECONCILING_ASYNC)


def test_names_of_sync() -> None:
    assert sorted(sync.__all__) == sorted(SYNC_NAMES.split())
    assert all(hasattr(sync, name) for name in sync.__all__)


@pytest.mark.parametrize("word", ADAPTER)
def test_words_of_an_adapter(word: str) -> None:
    assert parameters(getattr(sync.PalimpsestAdapter, word)) == ADAPTER[word].split()


def test_words_of_sync() -> None:
    assert parameters(sync.AdapterSource) == ["factory", "documents"]
    assert parameters(sync.PeerSource) == ["peer", "source", "documents", "by"]
    assert parameters(sync.diff_async) == ["source", "target", "flags", "diff_class", "on_progress"]
    assert parameters(sync.apply) == ["client", "compiled", "by", "description", "tags"]
    for source in (sync.AdapterSource, sync.PeerSource, sync.Outside):
        assert (parameters(source.snapshot), parameters(source.apply)) == ([], ["rows"])


def test_words_of_the_server() -> None:
    shared = "host port limits clock"
    assert set(parameters(pal.Server)) >= {"path", "archiver", *shared.split()}
    assert set(parameters(pal.Server.memory)) >= set(shared.split())
    assert all(
        hasattr(pal.Server, name)
        for name in ["url", "connect", "connect_sync", "stop", "wait", "statistics", "observe", "verify"]
    )


@pytest.mark.parametrize("connect", [pal.connect, pal.connect_sync])
def test_ways_to_connect(connect: object) -> None:
    assert parameters(connect) == ["url", "token", "tls", "ca", "client_id", "timeout_seconds", "tracing", "settings"]


def test_words_of_a_delta() -> None:
    assert public(pal.Delta) == sorted(DELTA.split())


@pytest.mark.parametrize("kind", FIELDS)
def test_fields_of_what_a_client_hands_out(kind: type) -> None:
    assert [name for name in FIELDS[kind].split() if not hasattr(kind, name)] == []


def test_codes_of_errors() -> None:
    assert sorted(kind.code for kind in error_kinds()) == sorted([*CODES.split(), "error"])


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"^    ([│ ├└─]*)([A-Z]\w+)", errors.__doc__, re.MULTILINE)
    trail: list[str] = []
    for lines, name in drawn:
        del trail[len(lines) // 4 :]
        parents = [base.__name__ for base in getattr(errors, name).__bases__]
        assert parents == (trail[-1:] or ["Exception"]), name
        trail.append(name)
    assert sorted(name for _, name in drawn) == sorted(kind.__name__ for kind in error_kinds())


def test_fixtures() -> None:
    assert all(hasattr(testing, name) for name in FIXTURES.split())


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert version("palimpsest") == project["version"]


def parameters(callable_: object) -> list[str]:
    found = inspect.signature(callable_).parameters  # type: ignore[arg-type]
    return [name for name in found if name != "self"]


def public(kind: type) -> list[str]:
    return sorted(name for name in dir(kind) if not name.startswith("_"))


def error_kinds() -> list[type[pal.PalimpsestError]]:
    """Every class of the tree."""
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, pal.PalimpsestError)]
