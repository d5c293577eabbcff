"""Branches of documents: listed, made, deleted."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from palimpsest import client as c
from palimpsest.errors import UnexpectedMessage
from palimpsest.web.conditions import IDEMPOTENCY_KEY, said_of
from palimpsest.web.operations import JSON, Answer, Call, Operation
from palimpsest.web.pages import PAGE_HEADERS, Page, limit_of, next_url, page_answer
from palimpsest.web.past import which_of
from palimpsest.web.plain import Branch, branch_of
from palimpsest.web.problems import Refused, plain_problem
from palimpsest.web.queries import PageQuery, SaidQuery


class BranchesQuery(PageQuery, frozen=True, kw_only=True):
    after: str = ""
    """What the link to the next page says: a document and a branch of it."""
    deleted: bool = False
    """Those that are deleted, too."""


class AllBranchesQuery(BranchesQuery, frozen=True, kw_only=True):
    pattern: str = "**"


class Branching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """branch: its name. at: where it starts: a version of `main`, `draft:9`, a branch for its newest, or a time; the newest of `main` without one.
    Of a pattern, a branch."""

    branch: str
    at: str | None = None


class DeletionQuery(SaidQuery, frozen=True, kw_only=True):
    branch: str


async def list_all_branches(call: Call) -> Answer:
    """Of all documents that match and have others than `main`, by name, and those that were made for a pattern."""
    return _page(call, await call.client.branches(call.query.pattern, deleted=call.query.deleted))


async def list_branches(call: Call) -> Answer:
    """The branches of one document, `main` first."""
    return _page(call, await call.client.branches(call.path["name"], deleted=call.query.deleted))


async def make_branch(call: Call) -> Answer:
    """A branch of a document, or of all that match a pattern, each from its first write there on. Nothing is copied."""
    body: Branching = call.body
    at = None if body.at is None else which_of(body.at)
    try:
        made = await call.client.branch(call.path["name"], body.branch, at=at, **said_of(call))
    except UnexpectedMessage as error:
        # Special case: the request was done before, and what it made is not there: it was something else, or it is deleted.
        detail = "this `Idempotency-Key` was used before, and there is no branch that it made"
        raise Refused(plain_problem(422, "Unprocessable Content", detail)) from error
    location = f"/branches/{quote(call.path['name'], safe='/')}"
    return Answer(branch_of(made), 201, {"Location": location})


async def delete_branch(call: Call) -> Answer:
    """The branch is not there any more; its versions stay. The answer says what was deleted."""
    gone = await call.client.delete_branch(call.path["name"], call.query.branch, **said_of(call))
    return Answer(Page(items=[branch_of(branch) for branch in gone]))


def _page(call: Call, found: list[c.Branch]) -> Answer:
    """The client gives all of them, in an order that stays; a page begins behind the one that `after` names by its place."""
    query: BranchesQuery = call.query
    limit, start = limit_of(call), _start(found, query.after)
    items = found[start : start + limit]
    more = start + limit < len(found)
    following = next_url(call, after=_key(items[-1])) if more else None
    return page_answer(Page(items=[branch_of(branch) for branch in items], next=following))


def _start(found: list[c.Branch], after: str) -> int:
    if not after:
        return 0
    return next((index + 1 for index, branch in enumerate(found) if _key(branch) == after), len(found))


def _key(branch: c.Branch) -> str:
    """A name of a branch that was deleted may be used again: where it starts tells them apart."""
    parts: dict[str, Any] = {"document": branch.document, "branch": branch.name}
    return urlencode(parts | ({} if branch.base is None else {"base": f"{branch.base[0]}:{branch.base[1]}"}))


OPERATIONS = (
    Operation(
        method="GET",
        path="/branches",
        id="listAllBranches",
        summary="The branches of documents that match",
        group="branches",
        handler=list_all_branches,
        query=AllBranchesQuery,
        answers={200: Page[Branch]},
        answer_headers=PAGE_HEADERS,
    ),
    Operation(
        method="GET",
        path="/branches/{name:path}",
        id="listBranches",
        summary="The branches of a document",
        group="branches",
        handler=list_branches,
        query=BranchesQuery,
        answers={200: Page[Branch]},
        answer_headers=PAGE_HEADERS,
    ),
    Operation(
        method="POST",
        path="/branches/{name:path}",
        id="makeBranch",
        summary="Make a branch",
        group="branches",
        handler=make_branch,
        query=SaidQuery,
        bodies={JSON: Branching},
        answers={201: Branch},
        answer_headers={"Location": "Where the branches of the document are listed."},
        request_headers=IDEMPOTENCY_KEY,
    ),
    Operation(
        method="DELETE",
        path="/branches/{name:path}",
        id="deleteBranch",
        summary="Delete a branch",
        group="branches",
        handler=delete_branch,
        query=DeletionQuery,
        answers={200: Page[Branch]},
        request_headers=IDEMPOTENCY_KEY,
    ),
)
