"""Which streams of versions an export has of a document's branches, and in which order.

Beside `$versions` and `main`, which come first, there is one for each branch that there is; and one for what such a branch starts from
where that is deleted by now: it has the versions up to there, as the branch is nothing without them. All other versions of deleted
branches are left out.

They are in the order of the number that each begins with. A branch begins above the version that it starts from, so each comes after
the one that it starts from, and a branch that was made again after its namesake.
"""

from __future__ import annotations

from typing import Any

import msgspec

from palimpsest.state.lines import Line, branches, line_at, lines_of, live_line
from palimpsest.words import MAIN, RECORD, Node


class Stream(msgspec.Struct, frozen=True):
    """Versions that were made on a branch, one after the other.

    first: the number of the first. last: of the last that is wanted; None: all that there are. through: the branch whose history they are
    a part of: another one where theirs is deleted. at: when their branch was made, in microseconds.
    """

    document: str
    branch: str
    first: int = 1
    last: int | None = None
    through: str = ""
    at: int = 0

    @property
    def read_on(self) -> str:
        return self.through or self.branch

    @property
    def order(self) -> tuple[int, int, str]:
        return self.first, self.at, self.branch


def branch_streams(document: str, record: Any) -> list[Stream]:
    """All but `$versions` and `main`. record: the value of the document's `$versions`."""
    found: dict[tuple[str, int], Stream] = {}
    for name in branches(record):
        line = None if name == MAIN else live_line(record, name)
        if line is None:
            continue
        found[name, line.first] = Stream(document, name, line.first, at=line.at)
        for ended, last in _deleted_below(record, line):
            known = found.get((ended.branch, ended.first))
            if known is None or known.last is None or known.last < last:
                found[ended.branch, ended.first] = Stream(document, ended.branch, ended.first, last, name, ended.at)
    return sorted(found.values(), key=lambda stream: stream.order)


def streams_behind(document: str, record: Any, node: Node) -> list[Stream] | None:
    """As `branch_streams`: what comes behind a version of one of them, deleted by now or not. None: there never was such a branch."""
    branch, version = node
    if not lines_of(record, branch) or branch in (MAIN, RECORD):
        return None
    line = line_at(record, node)
    place = Stream(document, branch, line.first, at=line.at)
    rest = [stream for stream in branch_streams(document, record) if stream.order >= place.order]
    if rest and rest[0].order == place.order:
        rest[0] = msgspec.structs.replace(rest[0], first=version + 1)
    return rest


def _deleted_below(record: Any, line: Line) -> list[tuple[Line, int]]:
    """The deleted branches that this one starts from, one through the other, each with the newest of its versions that is needed."""
    found: list[tuple[Line, int]] = []
    while line.base is not None and line.base[0] != MAIN:
        below = line_at(record, line.base)
        if below.last is None or below.first >= line.first:
            break  # it is there; what it starts from is found from there. Or it makes no sense.
        found.append((below, line.base[1]))
        line = below
    return found
