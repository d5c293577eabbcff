"""Which subscriptions an event concerns: found by its document's name, and by what each of them wants to hear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from palimpsest.errors import InvalidRequest
from palimpsest.protocol.messages import Subscribe
from palimpsest.state.names import Pattern
from palimpsest.state.ops import decode_delta
from palimpsest.state.touching import touches
from palimpsest.storage.events import Event
from palimpsest.words import Kind

T = TypeVar("T")

_KINDS = frozenset(map(int, Kind))
_NONE: frozenset[Any] = frozenset()
"""Shared: an empty set of one's own takes 216 bytes, and there may be many thousands of conditions."""


class Condition:
    """What an event has to meet. since: microseconds since the epoch; what was made before that does not."""

    __slots__ = ("_all", "_any", "_by", "_kinds", "_path", "_since")

    def __init__(self, message: Subscribe) -> None:
        """Raises InvalidRequest for a kind that there is not."""
        if not _KINDS.issuperset(message.kinds):
            raise InvalidRequest(f"kinds {list(message.kinds)}: there are {sorted(_KINDS)}", reason="kinds")
        self._any = _set_of(message.tags)
        self._all = _set_of(message.tags_all)
        self._by = message.by
        self._path = message.path
        self._kinds = _set_of(message.kinds)
        self._since = message.from_time

    @property
    def is_empty(self) -> bool:
        given = (self._by, self._path, self._since)
        return not (self._any or self._all or self._kinds) and given == (None, None, None)

    def holds(self, event: Event) -> bool:
        if self._since is not None and event.at < self._since:
            return False
        if self._kinds and event.kind not in self._kinds:
            return False
        meta = event.meta
        if self._by is not None and (meta is None or meta.by != self._by):
            return False
        if self._any or self._all:
            tags = () if meta is None else meta.tags
            if (self._any and self._any.isdisjoint(tags)) or not self._all.issubset(tags):
                return False
        return self._path is None or touches(decode_delta(event.delta), self._path)


def _set_of(items: tuple[T, ...]) -> frozenset[T]:
    return frozenset(items) if items else _NONE


class Follower(Protocol):
    @property
    def branch(self) -> str: ...

    @property
    def pattern(self) -> Pattern: ...


F = TypeVar("F", bound=Follower)


class Index(Generic[F]):
    """Followers by what the names that they follow begin with: an event is looked up once for each level of its document's name,
    however many follow something else."""

    def __init__(self) -> None:
        self._by_place: dict[tuple[str, str], dict[F, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_place)

    def add(self, follower: F) -> None:
        self._by_place.setdefault(_place(follower), {})[follower] = None

    def remove(self, follower: F) -> None:
        place = _place(follower)
        found = self._by_place.get(place, {})
        found.pop(follower, None)
        if not found:
            self._by_place.pop(place, None)

    def all(self) -> list[F]:
        return [follower for found in self._by_place.values() for follower in found]

    def matching(self, document: str, branch: str) -> Iterator[F]:
        """Those that follow the document, in no order that means anything."""
        for prefix in _prefixes(document):
            for follower in self._by_place.get((branch, prefix), ()):
                if follower.pattern.matches(document):
                    yield follower


def _place(follower: Follower) -> tuple[str, str]:
    return follower.branch, follower.pattern.prefix


def _prefixes(document: str) -> Iterator[str]:
    """What a pattern that matches may begin with before its first `*`: nothing, whole levels, or all of the name."""
    yield ""
    end = document.find("/")
    while end >= 0:
        yield document[: end + 1]
        end = document.find("/", end + 1)
    yield document
