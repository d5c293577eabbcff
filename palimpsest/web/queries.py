"""What stands behind the `?` of many operations, and the words of the client that it becomes."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from palimpsest.web.operations import Query
from palimpsest.web.plain import Moment as Moment  # part of queries as well
from palimpsest.words import MAIN

VersionNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Level = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Meta(ge=1, le=2**31 - 1)]
LIMIT = 100


class ViewQuery(Query, frozen=True, kw_only=True):
    """perspective: documents are seen through it; or through a level of a family."""

    perspective: str | None = None
    family: str | None = None
    level: Level | None = None


class BranchQuery(ViewQuery, frozen=True, kw_only=True):
    branch: str = MAIN


class PlaceQuery(BranchQuery, frozen=True, kw_only=True):
    """Which version: by its number, by a time (the last one made then or before), or by a tag (the newest that has it)."""

    version: VersionNumber | None = None
    at: Moment | None = None
    tag: str | None = None


class SaidQuery(Query, frozen=True, kw_only=True):
    """What is kept with a version: by whom, why, and words to find it by."""

    by: str | None = None
    description: str | None = None


class TaggedQuery(SaidQuery, frozen=True, kw_only=True):
    tags: tuple[str, ...] = ()


class WriteQuery(BranchQuery, frozen=True, kw_only=True):
    """Of a write of a document: as `TaggedQuery`, on a branch, and perhaps through a perspective."""

    by: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()


class PageQuery(Query, frozen=True, kw_only=True):
    """limit: of items; the gateway's `page_items_max` is the most."""

    limit: Limit = LIMIT


class BranchPageQuery(BranchQuery, frozen=True, kw_only=True):
    """As `PageQuery`, of what is on a branch."""

    limit: Limit = LIMIT


def view_of(query: ViewQuery) -> dict[str, Any]:
    """As the client's words take it."""
    return {"perspective": query.perspective, "family": query.family, "level": query.level}


def branch_view_of(query: BranchQuery) -> dict[str, Any]:
    return {"branch": query.branch, **view_of(query)}


def given(query: Query) -> list[tuple[str, Any]]:
    """What is not as it would be anyway, by the names that stand in a query."""
    fields = ((field, getattr(query, field.name)) for field in msgspec.structs.fields(query))
    return [(field.encode_name, value) for field, value in fields if value != field.default]
