"""How much of the past is kept, what would go, and what documents take."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from palimpsest.client import PruneReport, Share
from palimpsest.state.retention import Count, Retention, parse_retention, to_value
from palimpsest.web.definitions import Kind, narrowed, operations, widened
from palimpsest.web.operations import JSON, Answer, Call, Operation, Query
from palimpsest.words import MAIN

_GROUP = "keeping"
_PREFIX = "$system/retention/"


class NamedRetention(Retention, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy: what it keeps of which documents."""

    name: str = ""
    """May be left out in a request, where the path says it."""


def _read(name: str, value: Any) -> NamedRetention:
    return widened(NamedRetention, parse_retention(value), name=name)


def _written(name: str, body: NamedRetention) -> Any:
    value = to_value(narrowed(Retention, body))
    parse_retention(value)
    return value


_POLICIES = Kind(
    word="policy",
    title=("Retention", "Retention"),
    path="/retention",
    prefix=_PREFIX,
    group=_GROUP,
    body=NamedRetention,
    read=_read,
    written=_written,
)


class Prune(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept: the newest `versions`, what is younger than `seconds`, and versions with a tag that matches one of `tags`; `bytes_max` lets the oldest
    go all the same. With none of the three, the policies kept on the server decide."""

    pattern: str = "**"
    branch: str = MAIN
    versions: Count | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e12)] | None = None
    bytes_max: Count | None = None
    tags: tuple[str, ...] = ("*",)
    dry_run: bool = True
    """It is only said what would go."""


async def prune(call: Call) -> Answer:
    """Old versions are not kept any more, at once; with `dry_run`, as by default, it is only said what would go."""
    said: Prune = call.body
    report = await call.client.prune(
        said.pattern,
        branch=said.branch,
        versions=said.versions,
        age=said.seconds,
        bytes_max=said.bytes_max,
        tags=said.tags,
        dry_run=said.dry_run,
    )
    return Answer(pruned_of(report))


class UsageShare(msgspec.Struct, frozen=True):
    """One document's part: how many events, and about how many bytes of storage."""

    document: str
    events: int
    bytes: int


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What was pruned, or, after a dry run, what would be."""

    documents: int
    events: int
    bytes: int
    """That come back, about."""
    largest: list[UsageShare]
    """The documents with most to give back, the largest first."""
    dry_run: bool


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What documents take."""

    documents: int
    """That exist."""
    deleted: int
    """Of which history alone is left."""
    versions: int
    """That were ever made."""
    events: int
    """That are kept."""
    snapshots: int
    bytes: int
    """Of storage, about, snapshots included."""
    largest: list[UsageShare]
    """The documents that take most, the largest first."""


def pruned_of(report: PruneReport) -> Pruned:
    return Pruned(
        documents=report.documents,
        events=report.events,
        bytes=report.bytes,
        largest=_parts(report.largest),
        dry_run=report.dry_run,
    )


class UsageQuery(Query, frozen=True, kw_only=True):
    pattern: str = "**"
    branch: str = MAIN
    largest: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 20
    """So many of the documents are named."""


async def usage(call: Call) -> Answer:
    """What the documents that match take. A whole store takes a while."""
    query: UsageQuery = call.query
    found = await call.client.stats(query.pattern, branch=query.branch, largest=query.largest)
    return Answer(
        Usage(
            documents=found.documents,
            deleted=found.deleted,
            versions=found.versions,
            events=found.events,
            snapshots=found.snapshots,
            bytes=found.bytes,
            largest=_parts(found.largest),
        )
    )


def _parts(shares: tuple[Share, ...]) -> list[UsageShare]:
    return [UsageShare(share.document, share.events, share.bytes) for share in shares]


OPERATIONS = (
    *operations(_POLICIES),
    Operation(
        method="POST",
        path="/prune",
        id="prune",
        summary="Let old versions go, or see what would go",
        group=_GROUP,
        handler=prune,
        bodies={JSON: Prune},
        answers={200: Pruned},
    ),
    Operation(
        method="GET",
        path="/usage",
        id="measureUsage",
        summary="What documents take",
        group=_GROUP,
        handler=usage,
        query=UsageQuery,
        answers={200: Usage},
    ),
)
