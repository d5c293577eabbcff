"""Documents of the server's own that have a name each, such as `$system/schemas/<name>`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from palimpsest.client.paged import pages_of
from palimpsest.client.results import Version
from palimpsest.errors import DocumentExists, DocumentNotFound, InvalidName

if TYPE_CHECKING:
    from palimpsest.client.client import Client

Item = TypeVar("Item")


class Named:
    """Those with one prefix. what: what a name is of, for errors."""

    def __init__(self, client: Client, prefix: str, what: str) -> None:
        self.client = client
        self.prefix = prefix
        self._what = what

    def document(self, name: str) -> str:
        """Raises InvalidName for what cannot be the name of one."""
        if not isinstance(name, str) or not name or "/" in name:
            raise InvalidName(
                f"{name!r} is no name of a {self._what}: that is text without `/`", name=repr(name), reason=self._what
            )
        return self.prefix + name

    async def put(self, name: str, value: Any, *, by: str | None, description: str | None) -> Version:
        """Its value is this one from now on, whether or not there was one."""
        document = self.document(name)
        while True:
            try:
                return await self.client.update(document, {"": value}, by=by, description=description)
            except DocumentNotFound:
                pass
            try:
                return await self.client.create(document, value, by=by, description=description)
            except DocumentExists:
                pass  # somebody else has just made it

    async def value(self, name: str) -> Any:
        """Raises DocumentNotFound where there is none of that name."""
        return (await self.client.get(self.document(name))).value

    async def delete(self, name: str, *, by: str | None, description: str | None) -> Version:
        """Raises DocumentNotFound."""
        return await self.client.delete(self.document(name), by=by, description=description)

    async def pages(self, make: Callable[[str, Any], Item]) -> AsyncGenerator[Sequence[Item], None]:
        """What make makes of names and values, in the order of the names."""
        async for documents in pages_of(self.client.list(self.prefix + "*", values=True)):
            yield [make(document.id.removeprefix(self.prefix), document.value) for document in documents]
