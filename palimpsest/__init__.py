"""Palimpsest: a state server. Every document is an actor, every change a delta in a durable log, every version readable.

    async with pal.connect("palimpsest://127.0.0.1:7411") as client:
        await client.create("notes/1", {"title": "A"})
        await client.update("notes/1", {"title": "B", "stars": pal.Increment(1)}, expect=1)

The public names are here; everything else may change between releases.
"""

from palimpsest import errors
from palimpsest.client import (
    ABSENT,
    BASE,
    OURS,
    THEIRS,
    BackupReport,
    Blame,
    Branch,
    Change,
    Client,
    Create,
    DeadLetter,
    Digest,
    Document,
    ImportReport,
    Join,
    MergeConflict,
    MergePart,
    MergeResult,
    NewToken,
    Observation,
    PendingMerge,
    PruneReport,
    Reaction,
    Reconnected,
    Settings,
    Share,
    Stats,
    Subscription,
    SubscriptionState,
    SyncClient,
    TokenInfo,
    Value,
    Version,
    WatchedValue,
    connect,
    connect_sync,
)
from palimpsest.clock import Clock, ManualClock, SystemClock
from palimpsest.embedded import Server
from palimpsest.errors import PalimpsestError
from palimpsest.limits import Limits
from palimpsest.running import run
from palimpsest.server.proof import verify_store as verify
from palimpsest.server.restoring import restore_store as restore
from palimpsest.server.tls import TlsFiles
from palimpsest.state import DELETE, Append, Delta, Increment, Insert, Remove
from palimpsest.state.conflicts import CONFLICT, Conflict
from palimpsest.state.perspectives import Mask, Perspective
from palimpsest.state.retention import Retention
from palimpsest.state.roles import Allowance, Grant, Role
from palimpsest.words import Kind, Parents

__all__ = [
    "ABSENT",
    "BASE",
    "CONFLICT",
    "DELETE",
    "OURS",
    "THEIRS",
    "Allowance",
    "Append",
    "BackupReport",
    "Blame",
    "Branch",
    "Change",
    "Client",
    "Clock",
    "Conflict",
    "Create",
    "DeadLetter",
    "Delta",
    "Digest",
    "Document",
    "Grant",
    "ImportReport",
    "Increment",
    "Insert",
    "Join",
    "Kind",
    "Limits",
    "ManualClock",
    "Mask",
    "MergeConflict",
    "MergePart",
    "MergeResult",
    "NewToken",
    "Observation",
    "PalimpsestError",
    "Parents",
    "PendingMerge",
    "Perspective",
    "PruneReport",
    "Reaction",
    "Reconnected",
    "Remove",
    "Retention",
    "Role",
    "Server",
    "Settings",
    "Share",
    "Stats",
    "Subscription",
    "SubscriptionState",
    "SyncClient",
    "SystemClock",
    "TlsFiles",
    "TokenInfo",
    "Value",
    "Version",
    "WatchedValue",
    "connect",
    "connect_sync",
    "errors",
    "restore",
    "run",
    "verify",
]
