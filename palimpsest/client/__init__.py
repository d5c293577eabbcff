"""The room of those who wait on the far side: the async client, and the sync face over it."""

from palimpsest.client.access import NewToken, Roles, TokenInfo, Tokens
from palimpsest.client.asking import OnProgress
from palimpsest.client.blocking import (
    SyncClient,
    SyncPerspectives,
    SyncPolicies,
    SyncRoles,
    SyncSchemas,
    SyncSubscription,
    SyncTokens,
    SyncWatchedValue,
    connect_sync,
)
from palimpsest.client.client import Client, connect
from palimpsest.client.durable import NamedSubscription
from palimpsest.client.editing import Draft, ListDraft, MapDraft
from palimpsest.client.feeds import FeedOptions, Policy, Start
from palimpsest.client.grouping import Transactions
from palimpsest.client.merging import Branch, MergeConflict, MergePart, MergeResult, PendingMerge
from palimpsest.client.naming import AnyLetter, DeadLetter, SubscriptionState
from palimpsest.client.observing import Observation, SubscriberState
from palimpsest.client.parts import Join, Target
from palimpsest.client.perspectives import Perspectives
from palimpsest.client.places import AnyNode, Which
from palimpsest.client.reactions import Handler, OnError, Reaction
from palimpsest.client.reconnecting import OnReconnect, Reconnected
from palimpsest.client.reports import BackupReport, Blame, Digest, ImportReport, PruneReport, Share, Stats
from palimpsest.client.requests import Changes, Create
from palimpsest.client.resolving import ABSENT, BASE, OURS, THEIRS, Choice, Resolutions, Value
from palimpsest.client.results import Change, Document, Version
from palimpsest.client.retention import Policies
from palimpsest.client.schemas import SchemaDocuments
from palimpsest.client.settings import Settings
from palimpsest.client.subscription import OnState, Subscription
from palimpsest.client.watching import WatchedValue

__all__ = [
    "ABSENT",
    "BASE",
    "OURS",
    "THEIRS",
    "AnyLetter",
    "AnyNode",
    "BackupReport",
    "Blame",
    "Branch",
    "Change",
    "Changes",
    "Choice",
    "Client",
    "Create",
    "DeadLetter",
    "Digest",
    "Document",
    "Draft",
    "FeedOptions",
    "Handler",
    "ImportReport",
    "Join",
    "ListDraft",
    "MapDraft",
    "MergeConflict",
    "MergePart",
    "MergeResult",
    "NamedSubscription",
    "NewToken",
    "Observation",
    "OnError",
    "OnProgress",
    "OnReconnect",
    "OnState",
    "PendingMerge",
    "Perspectives",
    "Policies",
    "Policy",
    "PruneReport",
    "Reaction",
    "Reconnected",
    "Resolutions",
    "Roles",
    "SchemaDocuments",
    "Settings",
    "Share",
    "Start",
    "Stats",
    "SubscriberState",
    "Subscription",
    "SubscriptionState",
    "SyncClient",
    "SyncPerspectives",
    "SyncPolicies",
    "SyncRoles",
    "SyncSchemas",
    "SyncSubscription",
    "SyncTokens",
    "SyncWatchedValue",
    "Target",
    "TokenInfo",
    "Tokens",
    "Transactions",
    "Value",
    "Version",
    "WatchedValue",
    "Which",
    "connect",
    "connect_sync",
]
