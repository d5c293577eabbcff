"""The past of a document: its versions, what changed between two of them, who set what; and the ways back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from palimpsest import client as c
from palimpsest.client import Which
from palimpsest.errors import InvalidRequest
from palimpsest.web.conditions import (
    DOCUMENT_HEADERS,
    IDEMPOTENCY_KEY,
    WRITE_HEADERS,
    expect_of,
    request_id_of,
    said_of,
    tag_of,
)
from palimpsest.web.operations import JSON, Answer, AnyOf, Call, Operation
from palimpsest.web.ops import Op, ops_of
from palimpsest.web.pages import PAGE_HEADERS, Page, limit_of, next_url, page_answer
from palimpsest.web.plain import Moment, Version, version_of
from palimpsest.web.queries import (
    BranchPageQuery,
    BranchQuery,
    SaidQuery,
    TaggedQuery,
    VersionNumber,
    branch_view_of,
    view_of,
)
from palimpsest.words import MAIN

# --- history ---------------------------------------------------------------------------------------------------------


class History(Page[Version], frozen=True, kw_only=True):
    """A page of versions. newest, oldest: of all that the document has on this branch, whatever was asked for; null where none is kept."""

    newest: int | None
    oldest: int | None


class HistoryQuery(BranchPageQuery, frozen=True, kw_only=True):
    """Of the versions from `first` to `last`, those that meet every condition that is given."""

    first: VersionNumber | None = None
    last: VersionNumber | None = None
    order: Literal["newest", "oldest"] = "newest"
    since: Moment | None = None
    until: Moment | None = None
    by: str | None = None
    tag: tuple[str, ...] = ()
    """With any of these tags."""
    path: str | None = None
    """Something at it, above it or inside it was touched."""
    deltas: bool = True
    """Each comes with what it changed."""


async def list_versions(call: Call) -> Answer:
    """The versions of a document, each with what it changed. A page ends early where deltas are large."""
    query: HistoryQuery = call.query
    limit = limit_of(call)
    newest_first = query.order == "newest"
    page, newest, oldest = await asyncio.gather(
        _versions(call, limit, newest_first=newest_first),
        _edge(call, newest_first=True),
        _edge(call, newest_first=False),
    )
    found, more = page
    following = None
    if more:
        last = found[-1].version
        following = next_url(call, last=last - 1) if newest_first else next_url(call, first=last + 1)
    items = [version_of(version, with_delta=query.deltas) for version in found]
    return page_answer(History(items=items, next=following, newest=newest, oldest=oldest))


async def _versions(call: Call, limit: int, *, newest_first: bool) -> tuple[list[c.Version], bool]:
    """At most limit versions, fewer where their deltas are large together; and whether there are more."""
    query: HistoryQuery = call.query
    versions = call.client.history(
        call.path["name"],
        newest_first=newest_first,
        limit=limit + 1,
        first=query.first,
        last=query.last,
        since=query.since,
        until=query.until,
        by=query.by,
        tags=query.tag,
        path=query.path,
        **branch_view_of(query),
    )
    found: list[c.Version] = []
    left = call.services.limits.page_bytes_max
    async for version in versions:
        if len(found) == limit or left <= 0:
            return found, True
        found.append(version)
        left -= len(version.encoded_delta or b"")
    return found, False


async def _edge(call: Call, *, newest_first: bool) -> int | None:
    """The newest version that is kept, or the oldest."""
    query: HistoryQuery = call.query
    versions: AsyncIterator[c.Version] = call.client.history(
        call.path["name"], newest_first=newest_first, limit=1, **branch_view_of(query)
    )
    return await anext((version.version async for version in versions), None)


# --- differences -----------------------------------------------------------------------------------------------------


class Place(msgspec.Struct, frozen=True):
    branch: str
    version: int


class Difference(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What leads from one version to another: `delta`, or, with `format=json-patch`, `patch`."""

    from_: Place
    to: Place
    delta: list[Op] | UnsetType = UNSET
    patch: list[dict[str, Any]] | UnsetType = UNSET


class DiffQuery(BranchQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """from, to: a version of the branch; one of any branch, such as `main:4`; a branch, for its newest; or a time. Without `to`, the
    newest of the branch is meant."""

    from_: str
    to: str | None = None
    format: Literal["delta", "json-patch"] = "delta"


async def diff(call: Call) -> Answer:
    """What changed between two versions of a document, on any of its branches."""
    query: DiffQuery = call.query
    is_patch = query.format == "json-patch"
    first, second = which_of(query.from_), query.branch if query.to is None else which_of(query.to)
    old, new = await asyncio.gather(
        _resolve(call, first, with_value=is_patch), _resolve(call, second, with_value=False)
    )
    a, b = f"{old[0].branch}:{old[0].version}", f"{new[0].branch}:{new[0].version}"
    delta = await call.client.diff(call.path["name"], a, b, **view_of(query))
    if is_patch:
        return Answer(Difference(from_=old[0], to=new[0], patch=delta.to_json_patch(old[1])))
    return Answer(Difference(from_=old[0], to=new[0], delta=ops_of(delta)))


async def _resolve(call: Call, which: Which, *, with_value: bool) -> tuple[Place, Any]:
    """The place that is meant, as a number, so that all that follows is about the same version; and the value there, or None."""
    query: DiffQuery = call.query
    branch, version, at = query.branch, None, None
    if isinstance(which, datetime):
        at = which
    elif isinstance(which, int):
        version = which
    else:
        name, colon, number = which.rpartition(":")
        branch, version = (name, int(number)) if colon else (which, None)
    if version is not None and not with_value:
        return Place(branch, version), None
    found = await call.client.get(call.path["name"], branch=branch, version=version, at=at, **view_of(query))
    return Place(branch, found.version), found.value if with_value else None


_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:")
_PLACE = re.compile(r".+:[0-9]{1,19}", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,19}")


def which_of(text: str) -> Which:
    """`7`, `draft:9`, `draft`, or a time. Raises InvalidRequest for what is none of these."""
    if _NUMBER.fullmatch(text):
        return int(text)
    if _TIME.match(text):  # before what follows: its end may look like a version
        try:
            return msgspec.convert(text, Moment)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{text!r} is no time: {error}", reason="version") from None
    if not text or (":" in text and not _PLACE.fullmatch(text)):
        raise InvalidRequest(f"{text!r} says no version: `7`, `draft:9`, `draft` or a time does", reason="version")
    return text


# --- blame -----------------------------------------------------------------------------------------------------------


class BlamedPath(msgspec.Struct, frozen=True):
    """entry: the index of the version in `versions`."""

    path: str
    entry: int


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """Which version last set each leaf of a value, in the order of the value. exact: false where history does not reach back far enough: the
    oldest of `versions` stands for those before it then."""

    version: int
    exact: bool
    paths: list[BlamedPath]
    versions: list[Version]


class BlameQuery(BranchQuery, frozen=True, kw_only=True):
    version: VersionNumber | None = None
    path: str = ""
    """Of what is asked about; all of it without one."""


async def blame(call: Call) -> Answer:
    """Who set what: for each scalar, empty map and empty list, the version that set it last, through merges."""
    query: BlameQuery = call.query
    found = await call.client.blame(call.path["name"], version=query.version, path=query.path, **branch_view_of(query))
    return Answer(blame_of(found))


def blame_of(found: c.Blame) -> Blame:
    entries: dict[tuple[str, int], int] = {}
    versions: list[Version] = []
    paths: list[BlamedPath] = []
    for path, version in found.items():
        entry = entries.setdefault((version.branch, version.version), len(versions))
        if entry == len(versions):
            versions.append(version_of(version))
        paths.append(BlamedPath(path, entry))
    return Blame(version=found.version, exact=found.exact, paths=paths, versions=versions)


# --- ways back -------------------------------------------------------------------------------------------------------


class AtTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last version that was made then or before; or the newest that has a tag."""

    at: Moment | UnsetType = UNSET
    tag: str | UnsetType = UNSET


class Reverting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """to: a version of the branch, `draft:4`, `draft`, `{"at": time}` or `{"tag": "x"}`."""

    to: VersionNumber | str | AtTime


class Undoing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: VersionNumber


class BackQuery(TaggedQuery, frozen=True, kw_only=True):
    branch: str = MAIN
    dry_run: bool = False
    """Nothing is written: the answer says what would change."""


class DryRun(msgspec.Struct, frozen=True):
    """What would change."""

    delta: list[Op]


async def revert(call: Call) -> Answer:
    """A new version with the value of an older one; all between stays in the history."""
    body: Reverting = call.body
    to = await _target(call, body.to)
    made = await call.client.revert(call.path["name"], to, **_back(call))
    return _went_back(made)


async def undo(call: Call) -> Answer:
    """A new version without what one version did, and with all that came after it. 409 where that was changed again since."""
    body: Undoing = call.body
    made = await call.client.undo(call.path["name"], body.version, **_back(call))
    return _went_back(made)


def _back(call: Call) -> dict[str, Any]:
    query: BackQuery = call.query
    return {
        "branch": query.branch,
        "dry_run": query.dry_run,
        "expect": expect_of(call.headers),
        **said_of(call),
    }


async def _target(call: Call, to: int | str | AtTime) -> Which:
    """Raises InvalidRequest where it is neither a time nor a tag, or both."""
    if not isinstance(to, AtTime):
        return which_of(to) if isinstance(to, str) else to
    if (to.at is UNSET) == (to.tag is UNSET):
        raise InvalidRequest('`{"at": time}` or `{"tag": text}` says to which version', reason="version")
    if not isinstance(to.at, UnsetType):
        return to.at
    found = await call.client.get(call.path["name"], branch=call.query.branch, tag=str(to.tag))
    return found.version


def _went_back(made: Any) -> Answer:
    if not isinstance(made, c.Version):
        return Answer(DryRun(ops_of(made)))
    headers = {"ETag": tag_of(made.version), "Palimpsest-Version": str(made.version)}
    return Answer(version_of(made), headers=headers)


# --- tags ------------------------------------------------------------------------------------------------------------


class Tagging(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: VersionNumber
    add: list[str] = []
    remove: list[str] = []


class Tags(msgspec.Struct, frozen=True):
    """Those that a version has by now."""

    tags: list[str]


class TagQuery(SaidQuery, frozen=True, kw_only=True):
    branch: str = MAIN


async def tag(call: Call) -> Answer:
    """Gives tags to a version that is made, and takes others from it. The version stays as it was made."""
    body: Tagging = call.body
    if not body.add and not body.remove:
        raise InvalidRequest("no tag is named, to `add` or to `remove`", reason="tags")
    both = sorted(set(body.add) & set(body.remove))
    if both:
        raise InvalidRequest(f"{both[0]!r} cannot be added and removed at once", reason="tags")
    name, branch, key = call.path["name"], call.query.branch, request_id_of(call.headers)
    said = {"branch": branch, "by": call.query.by, "description": call.query.description}
    if body.add:
        await call.client.tag(name, body.version, body.add, request_id=key, **said)
    if body.remove:
        # Two writes, each with an id of its own: the second is no repeat of the first.
        await call.client.untag(name, body.version, body.remove, request_id=_second(key, first=bool(body.add)), **said)
    number = body.version
    found = call.client.history(name, branch=branch, first=number, last=number, limit=1)
    return Answer(Tags(sorted({word async for version in found for word in version.tags})))


def _second(key: str | None, *, first: bool) -> str | None:
    return key if key is None or not first else f"{key[:249]}:remove"


OPERATIONS = (
    Operation(
        method="GET",
        path="/history/{name:path}",
        id="listVersions",
        summary="The versions of a document",
        group="past",
        handler=list_versions,
        query=HistoryQuery,
        answers={200: History},
        answer_headers=PAGE_HEADERS,
    ),
    Operation(
        method="GET",
        path="/diff/{name:path}",
        id="diff",
        summary="What changed between two versions",
        group="past",
        handler=diff,
        query=DiffQuery,
        answers={200: Difference},
    ),
    Operation(
        method="GET",
        path="/blame/{name:path}",
        id="blame",
        summary="Who set what",
        group="past",
        handler=blame,
        query=BlameQuery,
        answers={200: Blame},
    ),
    Operation(
        method="POST",
        path="/revert/{name:path}",
        id="revert",
        summary="Go back to an older version",
        group="past",
        handler=revert,
        query=BackQuery,
        bodies={JSON: Reverting},
        answers={200: AnyOf(Version, DryRun)},
        answer_headers={name: DOCUMENT_HEADERS[name] for name in ("ETag", "Palimpsest-Version")},
        request_headers=WRITE_HEADERS,
    ),
    Operation(
        method="POST",
        path="/undo/{name:path}",
        id="undo",
        summary="Take back one version",
        group="past",
        handler=undo,
        query=BackQuery,
        bodies={JSON: Undoing},
        answers={200: AnyOf(Version, DryRun)},
        answer_headers={name: DOCUMENT_HEADERS[name] for name in ("ETag", "Palimpsest-Version")},
        request_headers=WRITE_HEADERS,
    ),
    Operation(
        method="POST",
        path="/tags/{name:path}",
        id="tag",
        summary="Tag a version, or take tags from it",
        group="past",
        handler=tag,
        query=TagQuery,
        bodies={JSON: Tagging},
        answers={200: Tags},
        request_headers=IDEMPOTENCY_KEY,
    ),
)
