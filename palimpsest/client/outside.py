"""What a reconciliation needs of a system outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from palimpsest.errors import InvalidRequest, InvalidValue
from palimpsest.state.reconciliation import Place, Row
from palimpsest.state.sources import SNAPSHOTS, Source
from palimpsest.state.values import check_value

if TYPE_CHECKING:
    from palimpsest.client.client import Client


class Outside(Protocol):
    """A system that documents are reconciled with. `palimpsest.sync.AdapterSource` makes one of a DiffSync adapter."""

    async def snapshot(self) -> Any:
        """All that it has by now: the value of the document; or, where there is one for each object, a map from the names of documents to
        their values."""
        ...

    async def apply(self, rows: Sequence[Row]) -> Sequence[str | None]:
        """Makes these changes, whose `direction` is `out`. Of each row, in their order: None, or why it failed. It may happen that a change is
        asked for that was made already: that of a run that was interrupted."""
        ...


class Pushed:
    """The snapshot that a client has pushed. It cannot be changed from here."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    async def snapshot(self) -> Any:
        """Raises DocumentNotFound where none has been pushed."""
        return (await self._client.get(SNAPSHOTS + self._name)).value

    async def apply(self, rows: Sequence[Row]) -> Sequence[str | None]:
        return ["the source pushes its snapshots, and takes no changes"] * len(rows)


def values_of(source: Source, snapshot: Any) -> dict[str, Any]:
    """By document, what the source has. Raises InvalidValue, or InvalidRequest for a name that is none of the source's."""
    if source.prefix is None:
        return {source.documents: _value(snapshot)}
    if not isinstance(snapshot, Mapping):
        raise InvalidValue("a snapshot for many documents is a map from their names", path="", reason="no map")
    for name in snapshot:
        if not isinstance(name, str) or not name.startswith(source.prefix) or name == source.prefix:
            raise InvalidRequest(f"{name!r} is none of {source.documents!r}", reason="snapshot")
    return {name: _value(value) for name, value in snapshot.items()}


def place_of(source: Source, document: str) -> Place:
    """Where the objects are in a document of the source."""
    if source.prefix is None:
        return Place(document, source.depth)
    model, _, name = document.removeprefix(source.prefix).partition("/")
    return Place(document, 0, model, name or model)


def _value(value: Any) -> Any:
    check_value(value)
    return value
