"""All operations, in the order in which the description lists them."""

from __future__ import annotations

from palimpsest.web import (
    branches,
    documents,
    events,
    keeping,
    merging,
    past,
    probes,
    reconciling,
    status,
    subscriptions,
    system,
    transactions,
    whoami,
)
from palimpsest.web.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    *documents.OPERATIONS,
    *transactions.OPERATIONS,
    *past.OPERATIONS,
    *branches.OPERATIONS,
    *merging.OPERATIONS,
    *events.OPERATIONS,
    *subscriptions.OPERATIONS,
    *system.OPERATIONS,
    *keeping.OPERATIONS,
    *reconciling.OPERATIONS,
    *status.OPERATIONS,
    *whoami.OPERATIONS,
    *probes.OPERATIONS,
)
