"""What a journal and an archive promise. Memory and SQLite implement both; one class of tests holds them to this page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from palimpsest.storage.events import Batch, Event


class JournalEnd(msgspec.Struct, frozen=True):
    """Where a journal starts and ends.

    oldest: position of the oldest event that is still kept (equal to `next` where none is). next: the position that the
    next batch must have; the first ever is 1. digest: of the last batch ever appended, or GENESIS.
    """

    oldest: int
    next: int
    digest: bytes


class Journal(Protocol):
    """The durable truth: an append-only sequence of batches. One writer."""

    @property
    def epoch(self) -> str:
        """16 hex digits, made when the journal was; every cursor carries it. Known once open."""
        ...

    async def open(self) -> JournalEnd:
        """Raises StoreLocked if another process has it open, SchemaTooNew, StoreCorrupt."""
        ...

    async def end(self) -> JournalEnd:
        """Where it starts and ends now."""
        ...

    async def append(self, batch: Batch) -> None:
        """batch: its position is `next`. Durable on return, whole.

        Raises CommitFailed: nothing is written, and the same position may be tried again. Raises DurabilityUnknown: it
        may or may not be there; close, open, and read. Raises StoreCorrupt where the position is taken or skips one.
        A caller that is cancelled while it waits does not undo the append, which then still completes.
        """
        ...

    async def read(self, position: int, *, bytes_max: int) -> list[Batch]:
        """Whole batches in order, from the one that holds `position`; at least one where there is one, then as many as
        fit into bytes_max of bodies. Empty at the end. Raises Compacted if position is older than `oldest`."""
        ...

    async def trim(self, position: int, *, batches_max: int) -> int:
        """Forgets at most batches_max of the oldest batches, only those that lie wholly before `position`. Returns how
        many. All of them may go: where the chain of digests stands is kept beside them."""
        ...

    async def scrub(self) -> None:
        """Nothing of what was forgotten is left in the files, their free pages and write-ahead log included, on return.
        May take as long as writing anew what is kept; appends wait for a moment of it only. Raises CommitFailed where
        another connection is in the way for too long."""
        ...

    async def close(self) -> None: ...


class Row(msgspec.Struct, frozen=True, gc=False):
    """An event, its place in the journal, and what proves it; see `events`."""

    position: int
    event: Event
    salt: bytes = b""
    """Of its commitment; b"" for events of the first release, and where something of the event was erased."""
    check: bytes = b""
    """What `check_bytes` gives for it; b"" in a row that is not from an archive."""
    committed: bytes | None = None
    """Its commitment as it was, where something of it was erased since; None: the event is as it was."""


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Versions first..last of a stream are not kept any more, both included.

    at: when the first of them was made: from then on until the version after them, the stream cannot be read by time.
    digest: the stream's at the last of them, from which the chain goes on. position: of the last of them; 0 where they were
    erased or never were here, so that no subscriber misses them.
    """

    document: str
    branch: str
    first: int
    last: int
    at: int
    digest: bytes
    position: int


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """A whole value as of a version; value: encoded by `state`, opaque here. digest: the stream's as of that version."""

    document: str
    branch: str
    version: int
    value: bytes
    digest: bytes = b""


class Head(msgspec.Struct, frozen=True, gc=False):
    """The newest archived version of a stream, and how far its newest snapshot lies back.

    snapshot: version of the newest snapshot, 0 if none; snapshot_bytes: its size. since_bytes: of the deltas after it.
    digest: the stream's as of version, see `events.link`.
    """

    document: str
    branch: str
    version: int
    position: int
    kind: int
    at: int
    snapshot: int = 0
    snapshot_bytes: int = 0
    since_bytes: int = 0
    digest: bytes = b""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What a stream takes. events: that are kept. bytes: of storage, roughly: bodies, snapshots, and what comes with each."""

    document: str
    branch: str
    version: int
    kind: int
    events: int
    bytes: int
    snapshots: int


class Step(msgspec.Struct, frozen=True):
    """What the archiver adds in one transaction.

    rows: in order of position, continuing from the archive's end; there may be none. heads: the new head of every stream that
    the step touches. next: the position after the last row; digest: of the last batch of the step.

    What is below is done in this order, after the rows are in. rewrites: take the place of the rows at their positions, which
    are archived or among `rows`. forget: streams all of whose snapshots go, before `snapshots` are put in. gaps: none of their
    versions can be read from here on; each takes in the gaps of its stream that it overlaps. What lies in them is there until
    `sweep` has taken it away.
    """

    rows: Sequence[Row]
    snapshots: Sequence[Snapshot]
    heads: Sequence[Head]
    next: int
    digest: bytes
    rewrites: Sequence[Row] = ()
    forget: Sequence[tuple[str, str]] = ()
    gaps: Sequence[Gap] = ()


class ArchiveEnd(msgspec.Struct, frozen=True):
    """next: the first position that is not archived. digest: of the last archived batch, or GENESIS. oldest: position of
    the oldest event that is kept. pruned: the largest position of any gap, or 0: from there on nothing is missing."""

    oldest: int
    next: int
    digest: bytes
    pruned: int = 0


class Stretch(msgspec.Struct, frozen=True):
    """What it takes to build a value, and to know who made it.

    snapshot: the one to start from; None: start from nothing. rows: in order and without a gap, from the snapshot's own version
    (included, for its author and time; not to be applied again), or from the first one after the last gap, or from the
    stream's first, to the version asked for; never empty.
    """

    head: Head
    snapshot: Snapshot | None
    rows: Sequence[Row]


Stream = tuple[str, str]
"""(document, branch)"""


class Archive(Protocol):
    """History per stream, derived from the journal. One writer, any number of readers, also in other processes."""

    async def open(self, *, epoch: str) -> ArchiveEnd:
        """epoch: the journal's. An archive of another epoch is refused with StoreCorrupt; a new one takes it."""
        ...

    async def end(self) -> ArchiveEnd: ...

    async def write(self, step: Step) -> None:
        """Whole or not at all. Durable on return. Raises StoreCorrupt if step does not start at the archive's end."""
        ...

    async def heads(self, streams: Sequence[Stream]) -> list[Head | None]:
        """In the order asked; None where the archive has nothing."""
        ...

    async def load(self, streams: Sequence[Stream]) -> list[Stretch | None]:
        """For the newest archived version of each, in one hop; None where the archive has nothing."""
        ...

    async def load_version(self, document: str, branch: str, version: int) -> Stretch | None:
        """For one version: the newest sound snapshot at or before it, and the rows up to it. None where the archive does not
        have the version, or it lies in a gap. Raises StoreCorrupt where it cannot be built any more: the snapshot that it
        needs is damaged, and what came before is not kept; `load` does, too."""
        ...

    async def history(
        self, document: str, branch: str, *, first: int, last: int, newest_first: bool, limit: int
    ) -> list[Row]:
        """Rows of versions first..last, both included, at most `limit` of them; none that lies in a gap."""
        ...

    async def find_time(self, document: str, branch: str, at: int) -> Row | None:
        """The newest row whose event's `at` is not greater than this one. In as many looks as the stream's length has bits.
        It is the caller's to see in `gaps` whether there was a later one that is not kept."""
        ...

    async def find_tag(self, document: str, branch: str, tag: str, *, last: int) -> int | None:
        """The newest version, `last` or older and in no gap, that was tagged so when it was made."""
        ...

    async def tagged(self, document: str, branch: str, *, last: int) -> list[tuple[int, tuple[str, ...]]]:
        """Versions, `last` or older and in no gap, that were tagged when they were made, with those tags, sorted; rising."""
        ...

    async def gaps(self, document: str, branch: str) -> list[Gap]:
        """Rising, none next to another."""
        ...

    async def compacted(self, branch: str, *, prefix: str, position: int) -> list[tuple[str, int]]:
        """Documents of the branch whose name starts with prefix and of which something at `position` or later is not kept
        any more, each with the largest position of its gaps; by name."""
        ...

    async def read(self, position: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        """Rows of all streams in order of position, from `position` on; at least one where there is one, then as many as
        both bounds allow (bytes of deltas). What lies in a gap is left out."""
        ...

    async def names(self, branch: str, *, prefix: str, after: str, limit: int) -> list[Head]:
        """Heads of streams of the branch whose name starts with prefix and is greater than `after`, by name (in the order
        of code points), deleted documents included."""
        ...

    async def walk(self, after: Stream | None, *, limit: int) -> list[Head]:
        """Heads of the streams of all branches after this one (None: from the first), by branch and then by name."""
        ...

    async def usage(self, branch: str, *, prefix: str, after: str, limit: int) -> list[Usage]:
        """As `names`, with what each stream takes."""
        ...

    async def weigh(self, document: str, branch: str, *, first: int, last: int) -> tuple[int, int]:
        """(events, bytes) that would come back if versions first..last were no longer kept, snapshots included. What is written
        meanwhile may be counted or not."""
        ...

    async def reach(self, document: str, branch: str, *, bytes_max: int) -> int:
        """The oldest version from which on everything kept takes at most bytes_max together; at least the newest; 0 where the
        archive has nothing."""
        ...

    async def find_request(
        self, document: str, branch: str, *, origin: str, request: int, key: str | None
    ) -> Row | None:
        """The row of the stream that this request made: by key where one is given, else by (origin, request)."""
        ...

    # --- keeping house: the writer's alone ---

    async def sweep(self, *, rows_max: int) -> int:
        """Takes away at most rows_max rows that lie in gaps, with their snapshots, in one transaction. Returns how many rows
        and snapshots it was; 0: there are none left."""
        ...

    async def shrink(self, *, bytes_max: int) -> int:
        """Gives at most about bytes_max of what is free in the files back to the system, in one transaction. Returns how
        many bytes it was."""
        ...

    async def scrub(self) -> None:
        """Nothing of what was rewritten, forgotten or swept is left in the files, as for a journal."""
        ...

    async def snapshots(self, document: str, branch: str, *, first: int, limit: int) -> list[Snapshot]:
        """Those of version `first` or later, rising; the value of one that is damaged is b""."""
        ...

    async def inspect_snapshots(self, after: int, *, limit: int) -> tuple[int, list[tuple[str, str, int]]]:
        """Looks at `limit` snapshots of all streams, in an order of the archive's own, after the place `after` (0: from the
        first). Returns the place reached (0: that was the last) and those that are damaged or of an older format: document,
        branch, version."""
        ...

    async def close(self) -> None: ...
