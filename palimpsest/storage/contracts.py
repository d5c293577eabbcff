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
        many. The last batch is always kept, so that the chain of digests goes on."""
        ...

    async def close(self) -> None: ...


class Row(msgspec.Struct, frozen=True, gc=False):
    """An event and its place in the journal."""

    position: int
    event: Event


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """A whole value as of a version; value: encoded by `state`, opaque here."""

    document: str
    branch: str
    version: int
    value: bytes


class Head(msgspec.Struct, frozen=True, gc=False):
    """The newest archived version of a stream, and how far its newest snapshot lies back.

    snapshot: version of the newest snapshot, 0 if none; snapshot_bytes: its size. since_bytes: of the deltas after it.
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


class Step(msgspec.Struct, frozen=True):
    """What the archiver adds in one transaction.

    rows: in order of position, continuing from the archive's end. heads: the new head of every stream that rows touch.
    next: the position after the last row; digest: of the last batch of the step.
    """

    rows: Sequence[Row]
    snapshots: Sequence[Snapshot]
    heads: Sequence[Head]
    next: int
    digest: bytes


class ArchiveEnd(msgspec.Struct, frozen=True):
    """next: the first position that is not archived. digest: of the last archived batch, or GENESIS. oldest: position of
    the oldest event that is kept."""

    oldest: int
    next: int
    digest: bytes


class Stretch(msgspec.Struct, frozen=True):
    """What it takes to build a value, and to know who made it.

    snapshot: the one to start from; None: start from nothing. rows: in order, from the snapshot's own version (included,
    for its author and time; not to be applied again) to the version asked for; never empty.
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
        """For one version, which is archived: the newest snapshot at or before it, and the rows up to it."""
        ...

    async def history(
        self, document: str, branch: str, *, first: int, last: int, newest_first: bool, limit: int
    ) -> list[Row]:
        """Rows of versions first..last, both included, at most `limit` of them."""
        ...

    async def read(self, position: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        """Rows of all streams in order of position, from `position` on; at least one where there is one, then as many as
        both bounds allow (bytes of deltas)."""
        ...

    async def names(self, branch: str, *, prefix: str, after: str, limit: int) -> list[Head]:
        """Heads of streams of the branch whose name starts with prefix and is greater than `after`, by name (in the order
        of code points), deleted documents included."""
        ...

    async def find_request(
        self, document: str, branch: str, *, origin: str, request: int, key: str | None
    ) -> Row | None:
        """The row of the stream that this request made: by key where one is given, else by (origin, request)."""
        ...

    async def close(self) -> None: ...
