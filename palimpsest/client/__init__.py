"""The room of those who wait on the far side: the async client, and the sync face over it."""

from palimpsest.client.blocking import SyncClient, SyncSubscription, connect_sync
from palimpsest.client.client import Client, connect
from palimpsest.client.editing import Draft, ListDraft, MapDraft
from palimpsest.client.requests import Changes, Create
from palimpsest.client.results import Change, Document, Version
from palimpsest.client.settings import Settings
from palimpsest.client.subscription import Start, Subscription

__all__ = [
    "Change",
    "Changes",
    "Client",
    "Create",
    "Document",
    "Draft",
    "ListDraft",
    "MapDraft",
    "Settings",
    "Start",
    "Subscription",
    "SyncClient",
    "SyncSubscription",
    "Version",
    "connect",
    "connect_sync",
]
