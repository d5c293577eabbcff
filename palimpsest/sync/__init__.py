"""Reconciliation with the world outside, through DiffSync."""

from palimpsest.client.leasing import SourceState
from palimpsest.client.outside import Outside
from palimpsest.client.plans import Plan, PlanMoved, Run, SourceBusy, TooManyDeletes
from palimpsest.state.reconciliation import Row
from palimpsest.state.sources import Source
from palimpsest.sync.adapter import PalimpsestAdapter
from palimpsest.sync.applying import Compiled, apply, diff_async
from palimpsest.sync.model import PalimpsestModel
from palimpsest.sync.peers import PeerSource
from palimpsest.sync.results import Failure, NotAttached, SyncResult
from palimpsest.sync.sources import AdapterSource

__all__ = [
    "AdapterSource",
    "Compiled",
    "Failure",
    "NotAttached",
    "Outside",
    "PalimpsestAdapter",
    "PalimpsestModel",
    "PeerSource",
    "Plan",
    "PlanMoved",
    "Row",
    "Run",
    "Source",
    "SourceBusy",
    "SourceState",
    "SyncResult",
    "TooManyDeletes",
    "apply",
    "diff_async",
]
