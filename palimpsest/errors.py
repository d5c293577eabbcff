"""The one tree of errors, sorted by whose fault it is.

    PalimpsestError
    ├── UsageError            the caller asked for something that cannot be done
    │   ├── InvalidValue         not a JSON value, or out of range
    │   ├── InvalidPath          a path that does not parse
    │   ├── InvalidName          a document name, branch name or pattern that does not parse
    │   ├── InvalidDelta         a delta that is not one, whatever the value
    │   ├── DeltaFailed          an op that does not fit the value it met
    │   │   └── TestFailed          a `test` or `absent` that did not hold
    │   ├── LimitExceeded        larger, deeper or more than a setting allows
    │   ├── DocumentNotFound
    │   ├── BranchNotFound
    │   ├── VersionNotFound
    │   │   └── VersionPruned    it was there, and is not kept any more
    │   ├── MergeNotFound        no such pending merge
    │   ├── SubscriptionNotFound no such named subscription
    │   ├── InvalidRequest       a well-formed message that makes no sense
    │   ├── InvalidPerspective   a perspective that does not make sense
    │   ├── PerspectiveNotFound
    │   ├── SchemaViolation      a value that breaks a schema of its document
    │   ├── TooManyDeletes       more than a source of a reconciliation may do at once
    │   └── CursorError
    │       ├── CursorInvalid    a cursor of another journal, or none at all
    │       ├── Compacted        a cursor that reaches back before what is retained
    │       └── ViewChanged      a cursor of a view that is another by now
    ├── Conflict              someone else got there first
    │   ├── DocumentExists
    │   ├── BranchExists
    │   ├── VersionConflict
    │   ├── UndoConflict         what is to be taken back was changed again since
    │   ├── PlanMoved            what a reconciliation planned is not so any more
    │   └── SourceBusy           another run of the source is under way
    ├── AccessError           who asks has no right to it
    │   ├── Unauthenticated      no token, or none that is good; the connection is closed
    │   └── Forbidden
    │       └── NotWritable         it cannot be written through the perspective
    ├── Overload              asked too much at once; try again later
    │   ├── Overloaded
    │   └── TooManyConnections
    ├── ProtocolError         the other side broke the protocol; the connection is closed
    │   ├── FrameTooLarge
    │   ├── MalformedFrame
    │   ├── UnexpectedMessage
    │   └── UnsupportedProtocol
    ├── LinkError             the way between client and server
    │   ├── ConnectionLost
    │   ├── RequestTimeout
    │   └── ServerClosing
    ├── StorageError          the disk, or what is on it
    │   ├── CommitFailed         nothing was written; the server goes on
    │   ├── DurabilityUnknown    it cannot be known; the server stops
    │   ├── StoreLocked
    │   ├── SchemaTooNew
    │   └── StoreCorrupt
    └── InternalError         a bug of ours

Every error has a stable `code`, which is what travels on the wire, and its data as attributes. `to_wire` and `from_wire`
are each other's inverse, so that an error is the same whether it crossed a socket or not.
"""

from __future__ import annotations

from typing import Any, ClassVar


class PalimpsestError(Exception):
    """The root of all errors of this package.

    `data` holds plain JSON values; each is an attribute as well. Attributes that an older peer did not send are None.
    """

    code: ClassVar[str] = "error"
    _by_code: ClassVar[dict[str, type[PalimpsestError]]] = {}

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data

    def __init_subclass__(cls) -> None:
        PalimpsestError._by_code[cls.code] = cls

    def __getattr__(self, name: str) -> Any:
        # Only reached for what is not an attribute yet: the data, which a subclass declares by annotation.
        if name.startswith("_") or name == "data":
            raise AttributeError(name)
        if name in self.data:
            return self.data[name]
        if any(name in vars(cls).get("__annotations__", ()) for cls in type(self).__mro__):
            return None
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __reduce__(self) -> Any:
        return (from_wire, (self.code, self.message, self.data))

    def to_wire(self) -> tuple[str, str, dict[str, Any]]:
        """(code, message, data), as the protocol's `Failed`, `Ended` and `Goodbye` carry it."""
        return self.code, self.message, self.data


def from_wire(code: str, message: str, data: dict[str, Any]) -> PalimpsestError:
    """The error that `to_wire` was called on. A code that this version does not know gives a plain PalimpsestError."""
    known = PalimpsestError._by_code.get(code)
    if known is None:
        return PalimpsestError(f"{message} [{code}]", **data)
    return known(message, **data)


class UsageError(PalimpsestError):
    """The caller asked for something that cannot be done; asking again will not help."""

    code = "usage"


class InvalidValue(UsageError):
    """Not a value of ours. `path`: where inside the value, in written form; `reason`: why."""

    code = "invalid_value"
    path: str
    reason: str


class InvalidPath(UsageError):
    """`text`: what does not parse; `offset`: the character at which it stops making sense."""

    code = "invalid_path"
    text: str
    offset: int


class InvalidName(UsageError):
    """`name`: what was given; `reason`: why it is not a name or a pattern."""

    code = "invalid_name"
    name: str
    reason: str


class InvalidDelta(UsageError):
    """`op`: the index of the op that is not one, or None where the whole is not a list of ops."""

    code = "invalid_delta"
    op: int | None


class DeltaFailed(UsageError):
    """An op did not fit the value. Nothing was changed.

    `op`: index of the op in the delta; `path`: the op's path, written; `reason`: one of `absent`, `present`, `type`,
    `index`, `range`, `test`, `move_into_itself`.
    """

    code = "delta_failed"
    op: int
    path: str
    reason: str


class TestFailed(DeltaFailed):
    """A `test` or `absent` op did not hold."""

    code = "test_failed"
    __test__ = False  # a test runner is not to collect it


class LimitExceeded(UsageError):
    """`limit`: the setting's name, which ends in its unit; `maximum`: its value; `actual`: what was met, if known."""

    code = "limit_exceeded"
    limit: str
    maximum: int
    actual: int | None


class DocumentNotFound(UsageError):
    """No such document, or it is deleted. `version`: the version that deleted it, or None."""

    code = "document_not_found"
    document: str
    branch: str
    version: int | None


class BranchNotFound(UsageError):
    """The document has no such branch, or it is deleted."""

    code = "branch_not_found"
    document: str
    branch: str


class VersionNotFound(UsageError):
    """No such version. `version`: what was asked for, None where it was a time or a tag; `newest`: the newest there is."""

    code = "version_not_found"
    document: str
    branch: str
    version: int | None
    newest: int


class VersionPruned(VersionNotFound):
    """The version was there, and is not kept any more. `oldest`: from there on no version is missing; None: of what there
    was, nothing is left."""

    code = "version_pruned"
    oldest: int | None


class MergeNotFound(UsageError):
    """No such merge is pending: it never was, or it is committed or abandoned. `merge`: its id."""

    code = "merge_not_found"
    merge: str


class SubscriptionNotFound(UsageError):
    """No subscription has this name: it never had one, or it was deleted. `name`: of it."""

    code = "subscription_not_found"
    name: str


class InvalidRequest(UsageError):
    """A request that is well formed and makes no sense, such as a negative limit."""

    code = "invalid_request"
    reason: str


class InvalidPerspective(UsageError):
    """`perspective`: its name; `path`: where in its definition, in written form; `reason`: why."""

    code = "invalid_perspective"
    perspective: str
    path: str
    reason: str


class PerspectiveNotFound(UsageError):
    """`perspective`: the name that was asked for, or the family."""

    code = "perspective_not_found"
    perspective: str


class SchemaViolation(UsageError):
    """The value that a document would have breaks a schema. `path`: where in the value, in written form; `rule`: the keyword of the
    schema that says so, with the way to it, such as `properties.title.maxLength`; `reason`: in words."""

    code = "schema_violation"
    document: str
    schema: str
    path: str
    rule: str
    reason: str


class TooManyDeletes(UsageError):
    """More deletes than `max_deletes` of the source; nothing was done. `deletes`: how many it would be; `limit`: how many may be."""

    code = "too_many_deletes"
    deletes: int
    limit: int


class CursorError(UsageError):
    code = "cursor"


class CursorInvalid(CursorError):
    """A cursor that is none of this journal's: start again from a snapshot."""

    code = "cursor_invalid"
    cursor: str


class Compacted(CursorError):
    """The cursor reaches back before the retained history. `oldest`: the oldest cursor left."""

    code = "compacted"
    cursor: str
    oldest: str


class ViewChanged(CursorError):
    """The perspective of a subscription, or the right to it, has changed: what it gave before does not fit what would follow. The client
    begins with a fresh snapshot by itself. `perspective`: its name."""

    code = "view_changed"
    cursor: str
    perspective: str


class Conflict(PalimpsestError):
    """Someone else got there first: read again, decide again."""

    code = "conflict"


class DocumentExists(Conflict):
    code = "document_exists"
    document: str
    branch: str
    version: int


class BranchExists(Conflict):
    """`version`: the newest that it has."""

    code = "branch_exists"
    document: str
    branch: str
    version: int


class VersionConflict(Conflict):
    """`expected`: what the caller expected; `actual`: the version the document has (0: it does not exist)."""

    code = "version_conflict"
    document: str
    branch: str
    expected: int
    actual: int


class UndoConflict(Conflict):
    """What a version did cannot be taken back, because it was changed again since. Nothing was changed.

    `version`: the one to be undone. `conflicts`: maps of `path` (written), `kind` (`edit/edit`, `edit/delete`, `delete/edit`,
    `add/add`, `type` or `list`), and what is there in each: `base` (what the version made), `ours` (what is there now),
    `theirs` (what was there before it); a key is missing where there is nothing.
    """

    code = "undo_conflict"
    document: str
    branch: str
    version: int
    conflicts: list[dict[str, Any]]


class PlanMoved(Conflict):
    """What was planned is not so any more; nothing was done. `documents`: those that have gone on, or whose source was reconciled by
    another run."""

    code = "plan_moved"
    documents: list[str]


class SourceBusy(Conflict):
    """Another run of the source is under way. `until`: when its lease ends, in microseconds since the epoch, unless it is renewed."""

    code = "source_busy"
    source: str
    until: int


class AccessError(PalimpsestError):
    """Who asks has no right to it; asking again will not help."""

    code = "access"


class Unauthenticated(AccessError):
    """The server wants a token or a client's certificate, and did not get one that is good. The connection is closed."""

    code = "unauthenticated"


class Forbidden(AccessError):
    """`action`: the right that is missing; `document`: the name or pattern that was asked about, "" where it is the whole store. The
    answer is the same whether or not the document exists."""

    code = "forbidden"
    action: str
    document: str


class NotWritable(Forbidden):
    """`path`: as it was given. The answer is the same whether it is hidden, masked, computed or not there, or simply not `writable`."""

    code = "not_writable"
    perspective: str
    path: str


class Overload(PalimpsestError):
    """Too much at once; nothing happened, and it may be tried again later."""

    code = "overload"


class Overloaded(Overload):
    """`limit`: the name of the bound that was reached; `maximum`: its value."""

    code = "overloaded"
    limit: str
    maximum: int


class TooManyConnections(Overload):
    code = "too_many_connections"
    maximum: int


class ProtocolError(PalimpsestError):
    """The other side broke the protocol. The connection is answered with this and closed."""

    code = "protocol"


class FrameTooLarge(ProtocolError):
    """`frame_bytes`: what the length prefix announced; `frame_bytes_max`: what is allowed."""

    code = "frame_too_large"
    frame_bytes: int
    frame_bytes_max: int


class MalformedFrame(ProtocolError):
    """A frame that is not a list of messages of this direction. `reason`: what was found, and where."""

    code = "malformed_frame"
    reason: str


class UnexpectedMessage(ProtocolError):
    """A message that is known, at a time when it makes no sense (such as anything before the hello)."""

    code = "unexpected_message"
    kind: str


class UnsupportedProtocol(ProtocolError):
    """No protocol version in common. `oldest`, `newest`: what the server speaks."""

    code = "unsupported_protocol"
    oldest: int
    newest: int


class LinkError(PalimpsestError):
    """The way between client and server failed. A write may have been applied: its request id says so."""

    code = "link"


class ConnectionLost(LinkError):
    code = "connection_lost"


class RequestTimeout(LinkError):
    """`seconds`: how long was waited."""

    code = "request_timeout"
    seconds: float


class ServerClosing(LinkError):
    code = "server_closing"


class StorageError(PalimpsestError):
    """The disk, or what is on it."""

    code = "storage"


class CommitFailed(StorageError):
    """Nothing was written, and nothing has happened. The server goes on; the same request may be sent again."""

    code = "commit_failed"
    reason: str


class DurabilityUnknown(StorageError):
    """It cannot be known whether the batch is on disk. The server stops, and recovers from the journal."""

    code = "durability_unknown"
    reason: str


class StoreLocked(StorageError):
    """Another process has the store open. `path`: the store."""

    code = "store_locked"
    path: str


class SchemaTooNew(StorageError):
    """The store was written by a newer release. `found`, `supported`: schema versions."""

    code = "schema_too_new"
    path: str
    found: int
    supported: int


class StoreCorrupt(StorageError):
    """What is on disk is not what was written. `reason`: what, and where."""

    code = "store_corrupt"
    path: str
    reason: str


class InternalError(PalimpsestError):
    """A bug of ours. The server has logged it; the document was dropped from memory and is read from the log again."""

    code = "internal"
