"""How conflicts were resolved, kept in a document's record, so that the same question is not asked twice.

A resolution holds for a place and for what was met there: the value before and the two sides, whichever of the two branches is merged
into the other. Where one of these is another, it is another conflict.
"""

from __future__ import annotations

import hashlib
from typing import Any

from palimpsest.state.conflicts import CONFLICT, Conflict
from palimpsest.state.ops import Delete, Op, Set
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import MAPS, as_dict, encode_value

TAKEN = "$taken"
"""Where a record keeps resolutions, by the key of the conflict."""

KEPT_MAX = 1_000
"""Resolutions of one document; the oldest go first."""

_KEY_BYTES = 12
_NUMBER = "n"


class Between:
    """Conflicts between two branches. source: is merged into `into`."""

    def __init__(self, source: str, into: str) -> None:
        self._names = f"{min(source, into)}\n{max(source, into)}".encode()
        self._is_mirrored = source < into
        """Of the two, the source comes first where they are sorted."""

    def key(self, conflict: Conflict) -> str:
        """The same for the same conflict, in whichever direction it is merged."""
        sides = [_digest(conflict.ours), _digest(conflict.theirs)]
        path = encode_value(list(conflict.path))
        first, second = reversed(sides) if self._is_mirrored else sides
        return _hash(self._names, path, _digest(conflict.base), first, second).hex()

    def entry(self, take: str, value: Any) -> dict[str, Any]:
        """As the record keeps it. take: "ours", "theirs", "base", "value" or "absent"."""
        if take == "value":
            return {"take": take, "value": value}
        if take in ("ours", "theirs"):
            return {"take": "first" if (take == "ours") != self._is_mirrored else "second"}
        return {"take": take}

    def settled(self, conflict: Conflict, entry: Any) -> Any:
        """What entry makes of the conflict: a value, or NOTHING."""
        take = entry["take"]
        if take == "value":
            return entry["value"]
        if take == "base":
            return conflict.base
        if take == "absent":
            return NOTHING
        return conflict.ours if (take == "first") != self._is_mirrored else conflict.theirs


def recalled(record: Any, key: str) -> Any:
    """The entry for a conflict; CONFLICT where there is none."""
    taken = record.get(TAKEN) if type(record) in MAPS else None
    return CONFLICT if taken is None else taken.get(key, CONFLICT)


def remember_ops(record: Any, key: str, entry: dict[str, Any]) -> list[Op]:
    """The ops that keep an entry."""
    taken = as_dict(record.get(TAKEN)) if type(record) in MAPS and TAKEN in record else {}
    ops: list[Op] = []
    if key not in taken and len(taken) >= KEPT_MAX:
        oldest = min(taken, key=lambda key: taken[key][_NUMBER])
        ops.append(Delete((TAKEN, oldest)))
    number = 1 + max((found[_NUMBER] for found in taken.values()), default=0)
    return [*ops, Set((TAKEN, key), {**entry, _NUMBER: number})]


def _digest(value: Any) -> bytes:
    return b"" if value is NOTHING else _hash(encode_value(value))


def _hash(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()[:_KEY_BYTES]
