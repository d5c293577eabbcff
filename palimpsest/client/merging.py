"""What a client hands out about branches, merges and their conflicts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Raw

from palimpsest.client.resolving import ABSENT
from palimpsest.client.results import Said, repr_of_said
from palimpsest.clock import to_datetime
from palimpsest.errors import LimitExceeded
from palimpsest.protocol import messages as m
from palimpsest.state.delta import Delta
from palimpsest.state.paths import format_path
from palimpsest.state.values import decode_plain
from palimpsest.words import Meta, Node

_NOTHING_SAID = Meta()

# --- branches --------------------------------------------------------------------------------------------------------


class Branch(msgspec.Struct, frozen=True):
    """A branch of a document; or, where `document` is a pattern, of each document that matches, from its first write
    there on."""

    document: str
    name: str
    base: Node | None
    """The branch and the version that it starts from; None for `main`. Of a pattern, the version is 0: it is the newest
    one that a document has when it is first written there."""
    head: int
    """Its newest version; 0 of a pattern."""
    at_microseconds: int = 0
    """Since the epoch, UTC; 0 where it is not known."""
    meta: Meta | None = None
    deleted: bool = False

    @property
    def parent(self) -> str | None:
        """The branch that it was made from; None for `main`."""
        return None if self.base is None else self.base[0]

    @property
    def at(self) -> datetime | None:
        """When it was made, by the server's clock, in UTC; None where that is not known."""
        return to_datetime(self.at_microseconds) if self.at_microseconds else None

    @property
    def by(self) -> str | None:
        return (self.meta or _NOTHING_SAID).by

    @property
    def description(self) -> str | None:
        return (self.meta or _NOTHING_SAID).description

    def __repr__(self) -> str:
        base = "" if self.base is None else f", from {_place(self.base) if self.base[1] else self.base[0]}"
        head = f", version {self.head}" if self.head else ""
        deleted = ", deleted" if self.deleted else ""
        return f"<Branch {self.name!r} of {self.document!r}{head}{base}{deleted}>"


def to_branch(info: m.BranchInfo) -> Branch:
    return Branch(info.document, info.branch, info.base, info.head, info.at, info.meta, info.deleted)


# --- merges ----------------------------------------------------------------------------------------------------------


class MergeConflict(msgspec.Struct, frozen=True):
    """Two sides changed the same place of a document, and no rule says which is right.

    kind: "edit/edit"; "edit/delete": ours changed and theirs deleted it; "delete/edit": the other way round; "add/add":
    both added it; "type": one side needs a container where the other has something else; "list": a list whose elements
    cannot be told apart any more.
    """

    document: str
    path: str
    """As it is written; "" is the whole value. `resolve` takes it as a key."""
    kind: str
    encoded_base: tuple[Raw, ...] = ()
    encoded_ours: tuple[Raw, ...] = ()
    encoded_theirs: tuple[Raw, ...] = ()
    left_out: bool = False
    """The values are too large for one message: base, ours and theirs raise LimitExceeded. The versions that were
    merged have them."""

    @property
    def base(self) -> Any:
        """What was there in the common ancestor; ABSENT where nothing was. Like the other sides, decoded anew each
        time."""
        return self._side(self.encoded_base)

    @property
    def ours(self) -> Any:
        """What is there on the branch that is merged into, or ABSENT."""
        return self._side(self.encoded_ours)

    @property
    def theirs(self) -> Any:
        """What is there on the branch that is merged, or ABSENT."""
        return self._side(self.encoded_theirs)

    def to_data(self) -> dict[str, Any]:
        """Plain JSON: `document`, `path`, `kind`, and `base`, `ours`, `theirs`, each left out where there is nothing.
        Where the values are left out altogether, `left_out` is True."""
        data: dict[str, Any] = {"document": self.document, "path": self.path, "kind": self.kind}
        if self.left_out:
            return data | {"left_out": True}
        sides = {"base": self.base, "ours": self.ours, "theirs": self.theirs}
        return data | {name: value for name, value in sides.items() if value is not ABSENT}

    def keys(self) -> tuple[str, ...]:
        """Of `to_data`, so that a conflict can be read, and made a dict of, as those of an `UndoConflict` can."""
        return tuple(self.to_data())

    def __getitem__(self, name: str) -> Any:
        return self.to_data()[name]

    def _side(self, encoded: tuple[Raw, ...]) -> Any:
        if self.left_out:
            raise LimitExceeded(
                f"the values at {self.path!r} of {self.document!r} are left out, because all conflicts of the merge do not fit into"
                " one message: read them in the versions that were merged",
                limit="frame_bytes_max",
            )
        return decode_plain(encoded[0]) if encoded else ABSENT

    def __repr__(self) -> str:
        return f"<MergeConflict {self.kind} at {self.path!r} of {self.document!r}>"


class MergePart:
    """One document's part of a merge; of a rebase, that of one version of the branch."""

    __slots__ = ("_kind", "_message")

    def __init__(self, message: m.MergedPart, kind: str) -> None:
        """kind: "merge", "pick" or "rebase"."""
        self._message = message
        self._kind = kind

    @property
    def document(self) -> str:
        return self._message.document

    @property
    def source(self) -> Node:
        """The branch and the version that was merged."""
        return self._message.source

    @property
    def into(self) -> Node:
        """The branch that was merged into, and the version that it had before."""
        return self._message.into

    @property
    def base(self) -> Node | None:
        """The version that both sides were compared with: of a merge, the nearest common ancestor."""
        return self._message.base

    @property
    def bases(self) -> tuple[Node, ...]:
        """All nearest common ancestors, where there is more than one, as after merges in both directions at once."""
        return self._message.bases

    @property
    def base_reason(self) -> str:
        """Which base was taken, and why, in words."""
        base, bases = self.base, self.bases
        if base is None:
            return "none: there is no common ancestor"
        if len(bases) > 1:
            others = ", ".join(map(_place, bases))
            return f"{_version(base)}, the newest of {len(bases)} nearest common ancestors: {others}"
        return f"{_version(base)}, {_REASONS.get(self._kind, self._kind)}"

    @property
    def outcome(self) -> str:
        """What came of it. "merged"; "fast_forward": nothing had happened on `into` since the base; "up_to_date":
        nothing was to be merged; or "conflicts"."""
        return self._message.outcome

    @property
    def version(self) -> int | None:
        """That was made on `into`; None where none was."""
        return self._message.version

    @property
    def delta(self) -> Delta:
        """What turns the value of `into` into the merged one, open conflicts aside. Decoded anew each time."""
        return Delta.decode(self._message.delta)

    @property
    def settled(self) -> int:
        """How many conflicts were decided, by rules, resolvers and resolutions."""
        return self._message.settled

    @property
    def conflicts(self) -> list[MergeConflict]:
        """Those that are open."""
        document, left_out = self._message.document, self._message.left_out
        return [
            MergeConflict(document, format_path(one.path), one.kind, one.base, one.ours, one.theirs, left_out)
            for one in self._message.conflicts
        ]

    def __repr__(self) -> str:
        return f"<MergePart of {self.document!r}, {_place(self.source)} into {_place(self.into)}: {self._came_to()}>"

    def _came_to(self) -> str:
        if self._message.conflicts:
            return _count(len(self._message.conflicts), "conflict")
        made = "" if self.version is None else f", version {self.version}"
        return self.outcome.replace("_", " ") + made


class MergeResult:
    """What became of a merge, a cherry-pick or a rebase.

    Without conflicts it is committed, all parts or none. With conflicts nothing has happened yet: it is pending under
    `merge_id`, until it is resolved or abandoned. A dry run leaves nothing behind.
    """

    __slots__ = ("_message", "parts")

    def __init__(self, message: m.Merged) -> None:
        self._message = message
        self.parts = [MergePart(part, message.kind) for part in message.parts]
        """One for each document; of a rebase, one for each version."""

    @property
    def merge_id(self) -> str | None:
        """What `resolve`, `abandon` and `merge_state` take; None where nothing is pending."""
        return self._message.merge

    @property
    def committed(self) -> bool:
        """Whether it has happened. Where everything was up to date, nothing was to happen, and it is False."""
        return self._message.at != 0

    @property
    def at(self) -> datetime | None:
        """When it was committed, by the server's clock, in UTC; None: it was not."""
        return to_datetime(self._message.at) if self._message.at else None

    @property
    def dry_run(self) -> bool:
        return self._message.dry_run

    @property
    def repeat(self) -> bool:
        """It was done by an earlier sending of the same request."""
        return self._message.repeat

    @property
    def conflicts(self) -> list[MergeConflict]:
        """Those that are open, of all parts."""
        return [conflict for part in self.parts for conflict in part.conflicts]

    @property
    def version(self) -> int | None:
        """The version that was made, the last one of a rebase; None where none was, and where the merge is of several
        documents."""
        if len({part.document for part in self.parts}) != 1:
            return None
        return max((part.version for part in self.parts if part.version is not None), default=None)

    @property
    def delta(self) -> Delta | None:
        """Of the only part; None where there are several."""
        part = self._only_part()
        return None if part is None else part.delta

    @property
    def base(self) -> Node | None:
        """Of the only part; None where there are several."""
        part = self._only_part()
        return None if part is None else part.base

    @property
    def base_reason(self) -> str | None:
        """Of the only part; None where there are several."""
        part = self._only_part()
        return None if part is None else part.base_reason

    def _only_part(self) -> MergePart | None:
        return self.parts[0] if len(self.parts) == 1 else None

    def __repr__(self) -> str:
        documents = {part.document: None for part in self.parts}
        about = repr(next(iter(documents))) if len(documents) == 1 else _count(len(documents), "document")
        dry_run = ", a dry run" if self.dry_run else ""
        return f"<MergeResult of {about}{dry_run}: {self._came_to()}>"

    def _came_to(self) -> str:
        conflicts = sum(len(part._message.conflicts) for part in self.parts)
        if conflicts:
            pending = "" if self.merge_id is None else f", pending as {self.merge_id!r}"
            return _count(conflicts, "conflict") + pending
        part = self._only_part()
        if part is not None:
            return f"{_place(part.source)} into {_place(part.into)}, {part._came_to()}"
        made = sum(part.version is not None for part in self.parts)
        return f"{_count(made, 'version')} made"


class PendingMerge(Said, msgspec.Struct, frozen=True):
    """A merge that waits for its conflicts to be resolved. `at`, `by`, `description` and `tags` say when it was begun,
    by whom and why."""

    merge_id: str
    kind: str
    """One of "merge", "pick" and "rebase"."""
    source: str
    into: str
    """The branches."""
    documents: dict[str, int]
    """That have conflicts, with how many were open when it was last looked at."""
    at_microseconds: int
    """Since the epoch, UTC; `at` is the same as a datetime."""
    meta: Meta | None = None

    def __repr__(self) -> str:
        open_conflicts = _count(sum(self.documents.values()), "conflict")
        where = _count(len(self.documents), "document")
        return (
            f"<PendingMerge {self.merge_id!r}, {self.kind} of {self.source!r} into {self.into!r}:"
            f" {open_conflicts} in {where}{repr_of_said(self)}>"
        )


def to_pending(merge: m.PendingMerge) -> PendingMerge:
    return PendingMerge(merge.merge, merge.kind, merge.source, merge.into, merge.documents, merge.at, merge.meta)


_REASONS: Final[dict[str, str]] = {
    "merge": "the nearest common ancestor",
    "pick": "the one before what is picked",
    "rebase": "the one before what is made again",
}
"""Why a base was taken, where there was no choice, by the kind of merge."""


def _version(node: Node) -> str:
    return f"version {node[1]} of {node[0]}"


def _place(node: Node) -> str:
    return f"{node[0]}:{node[1]}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
