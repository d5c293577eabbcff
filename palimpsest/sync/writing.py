"""Writing what changed: one transaction, conditional on the versions that were read.

Where somebody else was faster, the transaction fails as a whole. `rebase` then merges, document by document, what was changed here with what
was changed there since, and writes that on top; what both changed differently is a conflict still.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Literal, TypeAlias

import msgspec

from palimpsest.client import Create
from palimpsest.errors import DocumentExists, DocumentNotFound, VersionConflict
from palimpsest.state import DELETE, Delta
from palimpsest.state.merge import Merged, merge
from palimpsest.state.paths import format_path
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import freeze, thaw
from palimpsest.state.working import apply_delta
from palimpsest.sync.layout import Part, Place

OnConflict: TypeAlias = Literal["fail", "rebase"]

Parts: TypeAlias = dict[str, Part]

_TIMES = 5
"""So often a document may change while its changes are merged, before that is given up."""


class Written(msgspec.Struct):
    """versions: that were made, by document. is_rebased: what is there now has changes of others in it."""

    versions: dict[str, int] = msgspec.field(default_factory=dict)
    is_rebased: bool = False


def write(
    place: Place,
    parts: Parts,
    versions: Mapping[str, int],
    written: Written,
    *,
    on_conflict: OnConflict,
    said: Mapping[str, Any],
) -> None:
    """versions: what was read; what is not among them is not to be there. written: is told what was. said: `by`, `description` and `tags`.

    More parts than a transaction may have are written in several, one after the other. Raises VersionConflict; of the transaction that it
    comes from nothing is written then, nor of those after it.
    """
    for piece in pieces(parts, place.client.limits):
        expect = {name: versions.get(name, 0) for name in piece}
        _write_piece(place, piece, expect, written, on_conflict, said)


def pieces(parts: Parts, limits: Mapping[str, int]) -> Iterator[Parts]:
    """limits: the server's."""
    remaining = iter(parts.items())
    while piece := dict(islice(remaining, limits.get("transaction_documents_max", 1_000))):
        yield piece


def _write_piece(
    place: Place,
    piece: Parts,
    expect: dict[str, int],
    written: Written,
    on_conflict: OnConflict,
    said: Mapping[str, Any],
) -> None:
    for attempts_left in reversed(range(_TIMES)):
        try:
            written.versions |= _transact(place, piece, expect, said) if piece else {}
            return
        except VersionConflict:
            if on_conflict == "fail" or not attempts_left:
                raise
        piece, expect = _rebased(place, piece, expect)
        written.is_rebased = True


def _transact(place: Place, piece: Parts, expect: dict[str, int], said: Mapping[str, Any]) -> dict[str, int]:
    try:
        made = place.client.transaction(piece, expect=expect, branch=place.branch, **said)
    except DocumentExists as error:
        raise _conflict(place, error.document, expect.get(error.document, 0), error.version, str(error)) from error
    except DocumentNotFound as error:
        actual = error.version or 0
        raise _conflict(place, error.document, expect.get(error.document, 0), actual, str(error)) from error
    return {name: version.version for name, version in made.items()}


def _rebased(place: Place, piece: Parts, expect: dict[str, int]) -> tuple[Parts, dict[str, int]]:
    """What is left to do of the piece, on the newest versions. Raises VersionConflict where both sides changed the same."""
    parts: Parts = {}
    newest: dict[str, int] = {}
    for name, part in piece.items():
        version, value = _newest(place, name)
        if version != expect[name]:
            part = _merged_part(place, name, part, expect[name], version, value)
        if part is not None:
            parts[name], newest[name] = part, version
    return parts, newest


def _newest(place: Place, name: str) -> tuple[int, Any]:
    try:
        found = place.client.get(name, branch=place.branch)
    except DocumentNotFound:
        return 0, NOTHING
    return found.version, freeze(found.value)


def _merged_part(place: Place, name: str, part: Part, expected: int, version: int, value: Any) -> Part | None:
    """value: as of the newest version; NOTHING where that is 0."""
    base = freeze(place.client.get(name, branch=place.branch, version=expected).value) if expected else NOTHING
    merged = merge(base, value, _after(base, part))
    if merged.conflicts:
        paths = ", ".join(format_path(conflict.path) or "the whole" for conflict in merged.conflicts[:5])
        raise _conflict(place, name, expected, version, f"{name!r} was changed in the same places: {paths}")
    return _to_part(merged, value)


def _after(base: Any, part: Part) -> Any:
    if isinstance(part, Create):
        return freeze(part.value)
    return NOTHING if part is DELETE else apply_delta(base, part.ops)


def _to_part(merged: Merged, before: Any) -> Part | None:
    if merged.value is NOTHING:
        return None if before is NOTHING else DELETE
    if before is NOTHING:
        return Create(thaw(merged.value))
    return Delta(merged.delta) if merged.delta else None


def _conflict(place: Place, document: str, expected: int, actual: int | None, message: str) -> VersionConflict:
    return VersionConflict(message, document=document, branch=place.branch, expected=expected, actual=actual)
