"""The policies of retention: documents of the server's, which say how much of the past of others is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING

from palimpsest.client.paged import Paged, pages_of
from palimpsest.client.results import Version
from palimpsest.errors import DocumentExists, DocumentNotFound, InvalidName, InvalidRequest
from palimpsest.state.retention import Retention, parse_retention, to_value

if TYPE_CHECKING:
    from palimpsest.client.client import Client

_PREFIX = "$system/retention/"


class Policies:
    """`client.retention`. Each policy has a name, and is the document `$system/retention/<name>`, with a history like any other.

    The server honours them in the background; `client.prune()` does at once, and shows what would go before that.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def put(
        self, name: str, policy: Retention, *, by: str | None = None, description: str | None = None
    ) -> Version:
        """The policy of that name is this one from now on. Raises InvalidValue where it does not make sense, or InvalidName."""
        if not isinstance(policy, Retention):
            raise InvalidRequest(f"a policy is a Retention, not a {type(policy).__name__}", reason="policy")
        document, value = _document(name), to_value(policy)
        while True:
            try:
                return await self._client.update(document, {"": value}, by=by, description=description)
            except DocumentNotFound:
                pass
            try:
                return await self._client.create(document, value, by=by, description=description)
            except DocumentExists:
                pass  # somebody else has just made it

    async def get(self, name: str) -> Retention:
        """Raises DocumentNotFound where there is none of that name."""
        return parse_retention((await self._client.get(_document(name))).value)

    async def delete(self, name: str, *, by: str | None = None, description: str | None = None) -> Version:
        """What it has pruned does not come back. Raises DocumentNotFound."""
        return await self._client.delete(_document(name), by=by, description=description)

    def list(self) -> AsyncIterator[tuple[str, Retention]]:
        """All of them with their names, in the order of these."""
        return Paged(self._pages())

    async def _pages(self) -> AsyncGenerator[Sequence[tuple[str, Retention]], None]:
        async for names in pages_of(self._client.list(_PREFIX + "*")):
            documents = await self._client.get_many(names)
            yield [
                (found.id.removeprefix(_PREFIX), parse_retention(found.value))
                for found in documents
                if found is not None  # else it was deleted meanwhile
            ]


def _document(name: str) -> str:
    if not isinstance(name, str) or not name or "/" in name:
        raise InvalidName(
            f"{name!r} is no name of a policy: that is text without `/`", name=repr(name), reason="policy"
        )
    return _PREFIX + name
