"""Merges, rebases and cherry-picks: asked for, looked at, resolved, given up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from palimpsest import client as c
from palimpsest.errors import InvalidRequest
from palimpsest.state.delta import DELETE
from palimpsest.web.conditions import IDEMPOTENCY_KEY, WRITE_HEADERS, expect_of, said_of
from palimpsest.web.operations import JSON, Answer, Call, Operation
from palimpsest.web.pages import PAGE_HEADERS, Page, limit_of, next_after, page_answer
from palimpsest.web.past import which_of
from palimpsest.web.plain import Merge, PendingMerge, merge_of, pending_of
from palimpsest.web.queries import PageQuery, SaidQuery, TaggedQuery
from palimpsest.words import MAIN

# --- asking for one --------------------------------------------------------------------------------------------------


class Merging(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """document: a name or a pattern. source: a branch, or a version of it such as `draft:9`. rules: by path, what becomes of a conflict. squash: the
    version has one parent. dry_run: it is only said what would come of it."""

    document: str
    source: str
    into: str = MAIN
    rules: dict[str, str] = {}
    squash: bool = False
    dry_run: bool = False


class Picking(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """version: such as `draft:9`; what it did is done on `into`, too."""

    document: str
    version: str
    into: str = MAIN
    rules: dict[str, str] = {}
    dry_run: bool = False


class Rebasing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """onto: where the branch starts from then on; the newest of the branch that it was made from without one."""

    document: str
    branch: str
    onto: str | None = None
    rules: dict[str, str] = {}
    dry_run: bool = False


async def merge(call: Call) -> Answer:
    """A three-way merge against the nearest common ancestor. Where conflicts are left, nothing has happened, and the merge is pending
    under its `merge_id`."""
    body: Merging = call.body
    result = await call.client.merge(
        body.document,
        which_of(body.source),
        body.into,
        rules=body.rules,
        squash=body.squash,
        dry_run=body.dry_run,
        expect=expect_of(call.headers),
        **said_of(call),
    )
    return Answer(merge_of(result))


async def cherry_pick(call: Call) -> Answer:
    """What one version did is done on another branch, too."""
    body: Picking = call.body
    result = await call.client.cherry_pick(
        body.document,
        which_of(body.version),
        body.into,
        rules=body.rules,
        dry_run=body.dry_run,
        expect=expect_of(call.headers),
        **said_of(call),
    )
    return Answer(merge_of(result))


async def rebase(call: Call) -> Answer:
    """The versions of a branch are made again on another version, each under its author, reason and tags."""
    body: Rebasing = call.body
    onto = None if body.onto is None else which_of(body.onto)
    result = await call.client.rebase(
        body.document, body.branch, onto=onto, rules=body.rules, dry_run=body.dry_run, **said_of(call)
    )
    return Answer(merge_of(result))


# --- pending ones ----------------------------------------------------------------------------------------------------


class MergesQuery(PageQuery, frozen=True, kw_only=True):
    pattern: str = "**"
    after: str = ""
    """Only those whose id is behind this one."""


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be at a path where a conflict is: one of `take`, `value` and `absent`. document: null, where every document of the merge is meant."""

    path: str
    document: str | None = None
    take: Literal["ours", "theirs", "base"] | UnsetType = UNSET
    value: Any = UNSET
    absent: bool | UnsetType = UNSET


class Decisions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    resolutions: Annotated[list[Decision], Meta(min_length=1)]


async def list_merges(call: Call) -> Answer:
    """The merges that are pending and concern a document that matches, by id."""
    query: MergesQuery = call.query
    found = [one for one in await call.client.merges(query.pattern) if one.merge_id > query.after]
    following = next_after(call, found, lambda one: one.merge_id)
    return page_answer(Page(items=[pending_of(one) for one in found[: limit_of(call)]], next=following))


async def get_merge(call: Call) -> Answer:
    """A pending merge as of the newest versions, with the conflicts that are open."""
    return Answer(merge_of(await call.client.merge_state(call.path["id"])))


async def resolve(call: Call) -> Answer:
    """Decides conflicts of a pending merge, all or some; once none is left, it is committed."""
    body: Decisions = call.body
    result = await call.client.resolve(call.path["id"], resolutions_of(body.resolutions), **said_of(call))
    return Answer(merge_of(result))


async def abandon(call: Call) -> Answer:
    """The pending merge is given up; nothing of it has happened."""
    await call.client.abandon(call.path["id"], **said_of(call))
    return Answer(None, 204)


def resolutions_of(decisions: Sequence[Decision]) -> dict[Any, Any]:
    """As the client's `resolve` takes them. Raises InvalidRequest where one decides nothing, or more than one thing, or what another does."""
    found: dict[Any, Any] = {}
    for decision in decisions:
        key = decision.path if decision.document is None else (decision.document, decision.path)
        if key in found:
            raise InvalidRequest(f"two resolutions of {decision.path!r}", reason="resolutions")
        found[key] = _taken(decision)
    return found


def _taken(decision: Decision) -> Any:
    said = [decision.take is not UNSET, decision.value is not UNSET, decision.absent is True]
    if said.count(True) != 1 or decision.absent is False:
        raise InvalidRequest(
            f"the resolution of {decision.path!r} says one of `take`, `value` and `absent: true`", reason="resolutions"
        )
    if decision.absent is True:
        return DELETE
    return c.Value(decision.value) if decision.take is UNSET else c.Choice(decision.take)


OPERATIONS = (
    Operation(
        method="POST",
        path="/merges",
        id="merge",
        summary="Merge a branch",
        group="merges",
        handler=merge,
        query=TaggedQuery,
        bodies={JSON: Merging},
        answers={200: Merge},
        request_headers=WRITE_HEADERS,
    ),
    Operation(
        method="GET",
        path="/merges",
        id="listMerges",
        summary="Merges that wait for a decision",
        group="merges",
        handler=list_merges,
        query=MergesQuery,
        answers={200: Page[PendingMerge]},
        answer_headers=PAGE_HEADERS,
    ),
    Operation(
        method="GET",
        path="/merges/{id}",
        id="getMerge",
        summary="A pending merge",
        group="merges",
        handler=get_merge,
        answers={200: Merge},
    ),
    Operation(
        method="POST",
        path="/merges/{id}/resolutions",
        id="resolve",
        summary="Decide conflicts",
        group="merges",
        handler=resolve,
        query=TaggedQuery,
        bodies={JSON: Decisions},
        answers={200: Merge},
        request_headers=IDEMPOTENCY_KEY,
    ),
    Operation(
        method="DELETE",
        path="/merges/{id}",
        id="abandon",
        summary="Give up a pending merge",
        group="merges",
        handler=abandon,
        query=SaidQuery,
        answers={204: None},
        request_headers=IDEMPOTENCY_KEY,
    ),
    Operation(
        method="POST",
        path="/rebases",
        id="rebase",
        summary="Have a branch start elsewhere",
        group="merges",
        handler=rebase,
        query=SaidQuery,
        bodies={JSON: Rebasing},
        answers={200: Merge},
        request_headers=IDEMPOTENCY_KEY,
    ),
    Operation(
        method="POST",
        path="/cherry-picks",
        id="cherryPick",
        summary="Take over one version",
        group="merges",
        handler=cherry_pick,
        query=TaggedQuery,
        bodies={JSON: Picking},
        answers={200: Merge},
        request_headers=WRITE_HEADERS,
    ),
)
