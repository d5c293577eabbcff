"""What a client hands out about documents as a whole: who set what, what they take, and what became of work on many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from palimpsest.client.asking import entry_version
from palimpsest.client.results import Version
from palimpsest.protocol import messages as m
from palimpsest.state.paths import format_path


class Blame(Mapping[str, Version]):
    """Which version last set each part of a document: a map from paths, as they are written, to versions, in the order of the
    value. The paths are those of scalars, empty maps and empty lists."""

    __slots__ = ("_versions", "branch", "document", "exact", "version")

    def __init__(self, document: str, branch: str, message: m.Blamed) -> None:
        versions = [entry_version(document, branch, entry, with_delta=False) for entry in message.entries]
        self._versions = {format_path(path): versions[place] for path, place in message.paths}
        self.document = document
        self.branch = branch
        self.version = message.version
        """The version of the document that this is about."""
        self.exact = message.exact
        """False where history does not reach back far enough: what the oldest of the versions is named for was set by it, or
        by one before it that is not kept any more."""

    def __getitem__(self, path: str) -> Version:
        return self._versions[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._versions)

    def __len__(self) -> int:
        return len(self._versions)

    def __repr__(self) -> str:
        exact = "" if self.exact else ", not exact"
        return f"<Blame of {self.document!r} on {self.branch!r}, version {self.version}: {len(self)} paths{exact}>"


class Digest(msgspec.Struct, frozen=True):
    """What proves a version and all that came before it. Kept elsewhere, it can be compared with the store at any later time."""

    document: str
    branch: str
    version: int
    digest: bytes
    """32 bytes."""

    @property
    def hex(self) -> str:
        return self.digest.hex()


class Share(NamedTuple):
    """One document's part of something: how many events, and about how many bytes of storage."""

    document: str
    events: int
    bytes: int


class PruneReport(msgspec.Struct, frozen=True):
    """What was pruned, or, after a dry run, what would be."""

    documents: int
    events: int
    bytes: int
    """That come back, about."""
    largest: tuple[Share, ...]
    """The documents with most to give back, the largest first."""
    dry_run: bool


class Stats(msgspec.Struct, frozen=True):
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
    largest: tuple[Share, ...]
    """The documents that take most, the largest first."""


class BackupReport(msgspec.Struct, frozen=True):
    """A backup that is complete."""

    path: str
    """On the server's machine."""
    position: int
    """Everything before it is in the backup."""
    bytes: int


class ImportReport(msgspec.Struct, frozen=True):
    """What became of the lines of an export."""

    lines: int
    documents: int
    """As they follow each other: one that comes back later counts again."""
    versions: int
    """That were added."""
    present: int
    """Versions that were there already."""


def shares(found: tuple[m.Share, ...]) -> tuple[Share, ...]:
    return tuple([Share(share.document, share.events, share.bytes) for share in found])
