"""What the client hands out, as the data that is sent as JSON: the types here are the schemas of the OpenAPI description.

Pure functions. Nothing here asks the server for anything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from palimpsest import client as c
from palimpsest.web.ops import Op, delta_of, ops_of
from palimpsest.words import Kind, Node
from palimpsest.words import Parents as SaidParents

__all__ = [
    "Branch",
    "Change",
    "Conflict",
    "Document",
    "KindName",
    "Merge",
    "MergePart",
    "Moment",
    "Op",
    "Parents",
    "PendingMerge",
    "Side",
    "Version",
    "branch_of",
    "change_of",
    "delta_of",
    "document_of",
    "merge_of",
    "moment",
    "ops_of",
    "pending_of",
    "version_of",
]

Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339, with a time zone."""
KindName: TypeAlias = Literal["create", "update", "delete", "erase"]
PlainNode: TypeAlias = Annotated[list[str | int], msgspec.Meta(min_length=2, max_length=2)]
"""A branch and a version of it. Not a tuple, whose schema not all readers of descriptions understand."""


# --- versions and documents ------------------------------------------------------------------------------------------


class Parents(msgspec.Struct, frozen=True):
    """What a version comes from beside the version before it on its branch."""

    base: PlainNode | None
    """Of the first version of a branch: where the branch starts."""
    merged: list[PlainNode]
    """The versions whose changes it takes in."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a document: what a write made, or an entry of a history."""

    document: str
    branch: str
    version: int
    kind: KindName
    at: Moment
    by: str | None
    description: str | None
    tags: list[str]
    request: str | None
    """The id of the request that made it."""
    repeat: bool
    """The write had been applied before, by an earlier sending of the same request."""
    trace: str | None
    """The `traceparent` of whoever wrote it, where one was sent."""
    delta: list[Op] | None
    """In a history; null after a write, whose author knows."""
    parents: Parents | None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document as of one version; `at`, `by`, `description` and `tags` are that version's."""

    document: str
    branch: str
    version: int
    kind: KindName
    at: Moment
    by: str | None
    description: str | None
    tags: list[str]
    value: Any


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version, as it reaches a reader of an event stream."""

    document: str
    branch: str
    version: int
    kind: KindName
    at: Moment
    by: str | None
    description: str | None
    tags: list[str]
    delta: list[Op]
    value: Any = msgspec.UNSET
    """With `values`, and in a snapshot: the whole value after the change."""
    snapshot: bool
    """Nothing changed: the document was there already, as this version."""
    more: int
    """How many changes of the same transaction follow in the log."""
    trace: str | None
    """As of a Version."""
    parents: Parents | None


def version_of(version: c.Version, *, with_delta: bool = True) -> Version:
    delta = version.delta if with_delta else None
    return Version(
        document=version.document,
        branch=version.branch,
        version=version.version,
        kind=_kind_name(version.kind),
        at=version.at,
        by=version.by,
        description=version.description,
        tags=sorted(version.tags),
        request=version.request,
        repeat=version.repeat,
        trace=version.trace,
        delta=None if delta is None else ops_of(delta),
        parents=_parents_of(version.parents),
    )


def document_of(document: c.Document) -> Document:
    return Document(
        document=document.id,
        branch=document.branch,
        version=document.version,
        kind=_kind_name(document.kind),
        at=document.at,
        by=document.by,
        description=document.description,
        tags=sorted(document.tags),
        value=document.value,
    )


def change_of(change: c.Change, *, with_value: bool = False) -> Change:
    """with_value: it comes with the whole value; one of a snapshot always does."""
    return Change(
        document=change.document,
        branch=change.branch,
        version=change.version,
        kind=_kind_name(change.kind),
        at=change.at,
        by=change.by,
        description=change.description,
        tags=sorted(change.tags),
        delta=ops_of(change.delta),
        value=change.value if with_value or change.snapshot else msgspec.UNSET,
        snapshot=change.snapshot,
        more=change.more,
        trace=change.trace,
        parents=_parents_of(change.parents),
    )


def moment(at: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond, for where no encoder writes it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _parents_of(parents: SaidParents | None) -> Parents | None:
    if parents is None or parents == SaidParents():
        return None
    return Parents(_maybe_node(parents.base), [list(node) for node in parents.merged])


def _kind_name(kind: int) -> KindName:
    return _KIND_NAMES[kind]


_KIND_NAMES: dict[int, KindName] = {
    Kind.CREATE: "create",
    Kind.UPDATE: "update",
    Kind.DELETE: "delete",
    Kind.ERASE: "erase",
}


# --- branches and merges ---------------------------------------------------------------------------------------------


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """A branch of a document; or, where `document` is a pattern, of each document that matches, from its first write there on."""

    document: str
    branch: str
    base: PlainNode | None
    """Where it starts; null for `main`. Of a pattern, the version is 0."""
    head: int
    """Its newest version; 0 of a pattern."""
    at: Moment | None
    by: str | None
    description: str | None
    deleted: bool


class Side(msgspec.Struct, frozen=True):
    """What is at a place; the place has null for a side that has nothing there."""

    value: Any


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Two sides changed the same place, and no rule says which is right."""

    document: str
    path: str
    kind: str
    base: Side | None
    ours: Side | None
    theirs: Side | None
    left_out: bool
    """The values are too large to be sent; the versions that were merged have them."""


class MergePart(msgspec.Struct, frozen=True, kw_only=True):
    """One document's part of a merge; of a rebase, that of one version of the branch."""

    document: str
    source: PlainNode
    into: PlainNode
    base: PlainNode | None
    base_reason: str
    """Which base was taken, and why, in words."""
    outcome: str
    """`merged`, `fast_forward`, `up_to_date` or `conflicts`."""
    version: int | None
    """That was made; null where none was."""
    delta: list[Op]
    """What turns the value of `into` into the merged one, open conflicts aside."""
    settled: int
    """How many conflicts were decided, by rules, resolvers and resolutions."""
    conflicts: list[Conflict]


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a merge, a cherry-pick or a rebase. With conflicts it is pending under `merge_id`, and nothing has happened yet."""

    merge_id: str | None
    committed: bool
    dry_run: bool
    repeat: bool
    at: Moment | None
    version: int | None
    parts: list[MergePart]


class PendingMerge(msgspec.Struct, frozen=True, kw_only=True):
    """A merge that waits for its conflicts to be resolved."""

    merge_id: str
    kind: str
    """`merge`, `pick` or `rebase`."""
    source: str
    into: str
    documents: dict[str, int]
    """With how many conflicts were open when it was last looked at."""
    at: Moment
    by: str | None
    description: str | None
    tags: list[str]


def branch_of(branch: c.Branch) -> Branch:
    return Branch(
        document=branch.document,
        branch=branch.name,
        base=_maybe_node(branch.base),
        head=branch.head,
        at=branch.at,
        by=branch.by,
        description=branch.description,
        deleted=branch.deleted,
    )


def merge_of(result: c.MergeResult) -> Merge:
    return Merge(
        merge_id=result.merge_id,
        committed=result.committed,
        dry_run=result.dry_run,
        repeat=result.repeat,
        at=result.at,
        version=result.version,
        parts=[_part_of(part) for part in result.parts],
    )


def pending_of(merge: c.PendingMerge) -> PendingMerge:
    return PendingMerge(
        merge_id=merge.merge_id,
        kind=merge.kind,
        source=merge.source,
        into=merge.into,
        documents=merge.documents,
        at=merge.at,
        by=merge.by,
        description=merge.description,
        tags=sorted(merge.tags),
    )


def _maybe_node(node: Node | None) -> PlainNode | None:
    return None if node is None else list(node)


def _part_of(part: c.MergePart) -> MergePart:
    return MergePart(
        document=part.document,
        source=list(part.source),
        into=list(part.into),
        base=_maybe_node(part.base),
        base_reason=part.base_reason,
        outcome=part.outcome,
        version=part.version,
        delta=ops_of(part.delta),
        settled=part.settled,
        conflicts=[_conflict_of(conflict) for conflict in part.conflicts],
    )


def _conflict_of(conflict: c.MergeConflict) -> Conflict:
    return Conflict(
        document=conflict.document,
        path=conflict.path,
        kind=conflict.kind,
        base=None if conflict.left_out else _side_of(conflict.base),
        ours=None if conflict.left_out else _side_of(conflict.ours),
        theirs=None if conflict.left_out else _side_of(conflict.theirs),
        left_out=conflict.left_out,
    )


def _side_of(value: Any) -> Side | None:
    return None if value is c.ABSENT else Side(value)
