"""The room of those who wait on the far side: the async client, and the sync face over it."""

from palimpsest.client.asking import OnProgress
from palimpsest.client.blocking import SyncClient, SyncPolicies, SyncSubscription, connect_sync
from palimpsest.client.client import Client, connect
from palimpsest.client.editing import Draft, ListDraft, MapDraft
from palimpsest.client.places import Which
from palimpsest.client.reports import BackupReport, Blame, Digest, ImportReport, PruneReport, Share, Stats
from palimpsest.client.requests import Changes, Create
from palimpsest.client.results import Change, Document, Version
from palimpsest.client.retention import Policies
from palimpsest.client.settings import Settings
from palimpsest.client.subscription import Start, Subscription

__all__ = [
    "BackupReport",
    "Blame",
    "Change",
    "Changes",
    "Client",
    "Create",
    "Digest",
    "Document",
    "Draft",
    "ImportReport",
    "ListDraft",
    "MapDraft",
    "OnProgress",
    "Policies",
    "PruneReport",
    "Settings",
    "Share",
    "Start",
    "Stats",
    "Subscription",
    "SyncClient",
    "SyncPolicies",
    "SyncSubscription",
    "Version",
    "Which",
    "connect",
    "connect_sync",
]
