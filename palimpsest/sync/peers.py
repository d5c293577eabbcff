"""Another Palimpsest server as a system outside: documents of two servers, kept in step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from palimpsest.client import Client
from palimpsest.errors import DocumentNotFound, PalimpsestError
from palimpsest.state import DELETE, Delta
from palimpsest.state.diff import diff
from palimpsest.state.reconciliation import Row
from palimpsest.state.sources import Source

_PAGE = 500


class PeerSource:
    """An `Outside` of documents on another server.

        client.reconcile.bind("berlin", PeerSource(berlin, source))

    A change is made there as the difference of what it was and what it is to be, so that what somebody else changes there at the same time, at
    another place of the object, stays.
    """

    def __init__(self, peer: Client, source: Source, *, documents: str | None = None, by: str | None = None) -> None:
        """documents: their name there, a document or ending in `/**` as that of the source does; None: the same. by: who makes the versions
        there."""
        self._peer = peer
        self._here = source.documents.removesuffix("**")
        self._there = (documents or source.documents).removesuffix("**")
        self._is_many = source.prefix is not None
        self._by = by

    async def snapshot(self) -> Any:
        """What is not there is an empty map."""
        if not self._is_many:
            found = (await self._peer.get_many([self._there]))[0]
            return {} if found is None else found.value
        names = [name async for name in self._peer.list(self._there + "**")]
        values: dict[str, Any] = {}
        for start in range(0, len(names), _PAGE):
            for document in await self._peer.get_many(names[start : start + _PAGE]):
                if document is not None:
                    values[self._here + document.id.removeprefix(self._there)] = document.value
        return values

    async def apply(self, rows: Sequence[Row]) -> list[str | None]:
        """Where there is one document, as one version of it, or, where that fails, as one for each row."""
        if self._is_many:
            return [await self._tried(self._change_document, row) for row in rows]
        try:
            await self._change(rows)
        except PalimpsestError:
            return [await self._tried(self._change_one, row) for row in rows]
        return [None] * len(rows)

    async def _tried(self, change: Any, row: Row) -> str | None:
        try:
            await change(row)
        except PalimpsestError as error:
            return error.message
        return None

    async def _change_one(self, row: Row) -> None:
        await self._change([row])

    async def _change(self, rows: Sequence[Row]) -> None:
        delta = Delta()
        for row in rows:
            if row.action == "delete":
                delta = delta.delete(row.path)
            elif row.action == "create":
                delta = delta.set(row.path, row.after)
            else:
                for op in diff(row.before, row.after):
                    delta = Delta([*delta.ops, _below(row.path, op)])
        try:
            await self._peer.update(self._there, delta, by=self._by)
        except DocumentNotFound:
            await self._peer.create(self._there, {}, by=self._by)
            await self._peer.update(self._there, delta, by=self._by)

    async def _change_document(self, row: Row) -> None:
        name = self._there + row.document.removeprefix(self._here)
        if row.action == "delete":
            await self._peer.transaction({name: DELETE}, by=self._by)
        elif row.action == "create":
            await self._peer.create(name, row.after, by=self._by)
        else:
            await self._peer.update(name, Delta(diff(row.before, row.after)), by=self._by)


def _below(path: tuple[str, ...], op: Any) -> Any:
    return replace(op, path=(*path, *op.path))
