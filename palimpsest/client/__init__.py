"""The room of those who wait on the far side: the async client, and the sync face over it."""

from palimpsest.client.asking import OnProgress
from palimpsest.client.blocking import SyncClient, SyncPolicies, SyncSubscription, connect_sync
from palimpsest.client.client import Client, connect
from palimpsest.client.editing import Draft, ListDraft, MapDraft
from palimpsest.client.merging import Branch, MergeConflict, MergePart, MergeResult, PendingMerge
from palimpsest.client.parts import Join, Target
from palimpsest.client.places import AnyNode, Which
from palimpsest.client.reports import BackupReport, Blame, Digest, ImportReport, PruneReport, Share, Stats
from palimpsest.client.requests import Changes, Create
from palimpsest.client.resolving import ABSENT, BASE, OURS, THEIRS, Choice, Resolutions, Value
from palimpsest.client.results import Change, Document, Version
from palimpsest.client.retention import Policies
from palimpsest.client.settings import Settings
from palimpsest.client.subscription import Start, Subscription

__all__ = [
    "ABSENT",
    "BASE",
    "OURS",
    "THEIRS",
    "AnyNode",
    "BackupReport",
    "Blame",
    "Branch",
    "Change",
    "Changes",
    "Choice",
    "Client",
    "Create",
    "Digest",
    "Document",
    "Draft",
    "ImportReport",
    "Join",
    "ListDraft",
    "MapDraft",
    "MergeConflict",
    "MergePart",
    "MergeResult",
    "OnProgress",
    "PendingMerge",
    "Policies",
    "PruneReport",
    "Resolutions",
    "Settings",
    "Share",
    "Start",
    "Stats",
    "Subscription",
    "SyncClient",
    "SyncPolicies",
    "SyncSubscription",
    "Target",
    "Value",
    "Version",
    "Which",
    "connect",
    "connect_sync",
]
