"""All operations, in the order in which the description lists them."""

from __future__ import annotations

from palimpsest.web import documents, probes
from palimpsest.web.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    *documents.OPERATIONS,
    *probes.OPERATIONS,
)
