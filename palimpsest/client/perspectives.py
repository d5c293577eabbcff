"""Perspectives: documents of the server's, which say what of others is seen through them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from palimpsest.client.named import Named
from palimpsest.client.paged import Paged
from palimpsest.client.results import Version
from palimpsest.errors import DocumentNotFound, InvalidRequest, PerspectiveNotFound
from palimpsest.state.perspectives import PERSPECTIVES, Perspective, parse_perspective, to_value

if TYPE_CHECKING:
    from palimpsest.client.client import Client


class Perspectives:
    """`client.perspectives`. Each is the document `$system/perspectives/<name>`, with a history like any other.

    A change of one holds from its version on, for reads and for subscriptions that are open.
    """

    def __init__(self, client: Client) -> None:
        self._named = Named(client, PERSPECTIVES, "perspective")

    async def put(self, perspective: Perspective, *, by: str | None = None, description: str | None = None) -> Version:
        """The perspective of its name is this one from now on. Raises InvalidPerspective, which points at the place that makes no
        sense, also where it does not go together with others; or InvalidName."""
        if not isinstance(perspective, Perspective):
            raise InvalidRequest(
                f"a perspective is a Perspective, not a {type(perspective).__name__}", reason="perspective"
            )
        self._named.document(perspective.name)
        value = to_value(perspective)
        parse_perspective(perspective.name, value)
        return await self._named.put(perspective.name, value, by=by, description=description)

    async def get(self, name: str) -> Perspective:
        """As it was put. Raises PerspectiveNotFound."""
        try:
            return parse_perspective(name, await self._named.value(name))
        except DocumentNotFound as error:
            raise _not_found(name) from error

    async def delete(self, name: str, *, by: str | None = None, description: str | None = None) -> Version:
        """Nothing is seen through it from now on. Raises PerspectiveNotFound, and InvalidPerspective where others build on it."""
        try:
            return await self._named.delete(name, by=by, description=description)
        except DocumentNotFound as error:
            raise _not_found(name) from error

    def list(self) -> AsyncIterator[Perspective]:
        """All of them, by name."""
        return Paged(self._named.pages(parse_perspective))


def _not_found(name: str) -> PerspectiveNotFound:
    return PerspectiveNotFound(f"there is no perspective {name!r}", perspective=name)
