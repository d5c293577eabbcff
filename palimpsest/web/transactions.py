"""Several documents change as one."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from palimpsest import client as c
from palimpsest.errors import InvalidDelta, InvalidRequest
from palimpsest.state.delta import DELETE, Delta
from palimpsest.web.conditions import IDEMPOTENCY_KEY, said_of
from palimpsest.web.operations import JSON, Answer, Call, Operation
from palimpsest.web.ops import NewOp, delta_of
from palimpsest.web.plain import Version, version_of
from palimpsest.web.queries import WriteQuery, branch_view_of

ExpectedVersion = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""0: no document."""


class DocumentChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What becomes of one document: one of these. patch: a JSON Patch. merge_patch: a JSON Merge Patch. delta: a list of ops. create: its value. delete: true."""

    patch: list[dict[str, Any]] | UnsetType = UNSET
    merge_patch: Any = UNSET
    delta: list[NewOp] | UnsetType = UNSET
    create: Any = UNSET
    delete: bool | UnsetType = UNSET


class Transaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """changes: by the names of documents. expect: versions that must be there, also of documents that are not changed."""

    changes: dict[str, DocumentChange]
    expect: dict[str, ExpectedVersion] = {}


class Transacted(msgspec.Struct, frozen=True):
    """The versions that were made, by the names of documents."""

    versions: dict[str, Version]


async def transact(call: Call) -> Answer:
    """Several documents change as one, or none does. What is expected and does not hold is 409."""
    body: Transaction = call.body
    changes = {name: change_of(name, change) for name, change in body.changes.items()}
    made = await call.client.transaction(changes, expect=body.expect, **branch_view_of(call.query), **said_of(call))
    return Answer(Transacted({name: version_of(version) for name, version in made.items()}))


def change_of(name: str, change: DocumentChange) -> Any:
    """As the client's `transaction` takes it. Raises InvalidRequest where it is not one thing; InvalidDelta, InvalidValue or LimitExceeded."""
    said = {field: value for field, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    if len(said) != 1 or change.delete is False:
        raise InvalidRequest(
            f"of {name!r}, one of `patch`, `merge_patch`, `delta`, `create` and `delete: true` is to be said",
            reason="changes",
        )
    if change.delete is True:
        return DELETE
    try:
        return _MAKERS[next(iter(said))](*said.values())
    except InvalidDelta as error:
        raise InvalidDelta(f"{name!r}: {error.message}", **error.data | {"document": name}) from None


_MAKERS: dict[str, Any] = {
    "patch": Delta.from_json_patch,
    "merge_patch": Delta.from_merge_patch,
    "delta": delta_of,
    "create": c.Create,
}

OPERATIONS = (
    Operation(
        method="POST",
        path="/transactions",
        id="transact",
        summary="Change several documents as one",
        group="documents",
        handler=transact,
        query=WriteQuery,
        bodies={JSON: Transaction},
        answers={200: Transacted},
        request_headers=IDEMPOTENCY_KEY,
    ),
)
