"""The words that read documents as they are: one, several, and all that match."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeVar, overload

from palimpsest.client.asking import answered
from palimpsest.client.listing import name_pages
from palimpsest.client.paged import Paged
from palimpsest.client.places import one_place
from palimpsest.client.requests import check, check_numbers, check_texts
from palimpsest.client.results import Document
from palimpsest.client.session import Session
from palimpsest.client.settings import Settings
from palimpsest.client.viewing import make_view, show
from palimpsest.errors import InvalidRequest
from palimpsest.protocol import messages as m
from palimpsest.words import MAIN

T = TypeVar("T")

_NEWEST = m.Place()


class Reading:
    """A part of `Client`, which says what holds for all of its words."""

    _session: Session
    _settings: Settings

    @overload
    async def get(
        self,
        document: str,
        *,
        branch: str = ...,
        version: int | None = ...,
        at: datetime | None = ...,
        tag: str | None = ...,
        perspective: str | None = ...,
        family: str | None = ...,
        level: int | None = ...,
        as_: None = None,
    ) -> Document: ...

    @overload
    async def get(
        self,
        document: str,
        *,
        branch: str = ...,
        version: int | None = ...,
        at: datetime | None = ...,
        tag: str | None = ...,
        perspective: str | None = ...,
        family: str | None = ...,
        level: int | None = ...,
        as_: type[T],
    ) -> Document[T]: ...

    async def get(
        self,
        document: str,
        *,
        branch: str = MAIN,
        version: int | None = None,
        at: datetime | None = None,
        tag: str | None = None,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
        as_: type[Any] | None = None,
    ) -> Document:
        """The newest version, or the one that is asked for by one of these: its number; at, a time: the last one that was made
        then or before; tag: the newest one that has it.

        perspective: the document is seen through the one of that name; or through that level of a family. Documents that it is not
        for do not exist then. as_: a type such as a `msgspec.Struct`, of which the value is made an instance.

        Raises DocumentNotFound, also where it was deleted then; BranchNotFound, VersionNotFound, VersionPruned where it is not
        kept any more, PerspectiveNotFound, InvalidRequest, or InvalidValue with the path where the value is no `as_`.
        """
        check(document, branch)
        view = make_view(perspective, family, level)
        plain = version is None and at is None and tag is None
        place = _NEWEST if plain else one_place(branch, version, at, tag)
        session = self._session
        if session.blocked:
            await session.room()
        message = m.Get(session.next_id(), document, branch, place.version, place.at, place.tag)
        answer = await session.ask(message if view is None else show(view, message))
        if type(answer) is not m.Document:
            answer = answered(m.Document, answer)
        return Document(answer, as_)

    @overload
    async def get_many(
        self,
        documents: Sequence[str],
        *,
        branch: str = ...,
        perspective: str | None = ...,
        family: str | None = ...,
        level: int | None = ...,
        as_: None = None,
    ) -> list[Document | None]: ...

    @overload
    async def get_many(
        self,
        documents: Sequence[str],
        *,
        branch: str = ...,
        perspective: str | None = ...,
        family: str | None = ...,
        level: int | None = ...,
        as_: type[T],
    ) -> list[Document[T] | None]: ...

    async def get_many(
        self,
        documents: Sequence[str],
        *,
        branch: str = MAIN,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
        as_: type[Any] | None = None,
    ) -> list[Document | None]:
        """In the order asked; None for what does not exist. Documents that are many are asked for in several requests,
        each as of its own moment. perspective, or family and level, and as_: as of `get`."""
        if isinstance(documents, str):
            raise InvalidRequest("get_many takes several names; for one there is `get`", reason="documents")
        names = list(documents)
        for name in names:
            check(name, branch)
        view = make_view(perspective, family, level)
        session = self._session
        step = min(self._settings.page_items, session.limits.get("page_items_max", self._settings.page_items))
        found: list[Document | None] = []
        for start in range(0, len(names), step):
            if session.blocked:
                await session.room()
            message = m.GetMany(session.next_id(), tuple(names[start : start + step]), branch)
            answer = answered(m.Documents, await session.ask(show(view, message)))
            found += [None if document is None else Document(document, as_) for document in answer.documents]
        return found

    @overload
    def list(
        self,
        pattern: str = ...,
        *,
        branch: str = ...,
        deleted: bool = ...,
        after: str = ...,
        limit: int | None = ...,
        values: Literal[False] = ...,
        perspective: str | None = ...,
        family: str | None = ...,
        level: int | None = ...,
    ) -> AsyncIterator[str]: ...

    @overload
    def list(
        self,
        pattern: str = ...,
        *,
        branch: str = ...,
        deleted: bool = ...,
        after: str = ...,
        limit: int | None = ...,
        values: Literal[True],
        perspective: str | None = ...,
        family: str | None = ...,
        level: int | None = ...,
    ) -> AsyncIterator[Document]: ...

    def list(
        self,
        pattern: str = "**",
        *,
        branch: str = MAIN,
        deleted: bool = False,
        after: str = "",
        limit: int | None = None,
        values: bool = False,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
    ) -> AsyncIterator[Any]:
        """The names of documents that exist and match, in the order of their code points. deleted: those that are deleted, too.
        after: only those behind this name. limit: at most so many. values: the documents themselves, which are asked for a page at a
        time. perspective, or family and level: as of `get`. Names that begin with `$` are the server's: a pattern matches them where
        it begins with it. Raises InvalidName."""
        check(pattern, branch)
        view = make_view(perspective, family, level)
        if values and deleted:
            raise InvalidRequest("what is deleted has no value: deleted=True is for names", reason="deleted")
        check_texts(after=after)
        check_numbers(limit=limit)
        if limit is not None and limit < 0:
            raise InvalidRequest(f"limit is {limit}, and cannot be negative", reason="limit")
        pages = name_pages(
            self._session, pattern, branch=branch, after=after, deleted=bool(deleted), view=view, limit=limit
        )
        if not values:
            return Paged(pages)
        get = partial(self.get_many, branch=branch, perspective=perspective, family=family, level=level)
        return Paged(_document_pages(pages, get))


async def _document_pages(
    pages: AsyncGenerator[Sequence[str], None], get: Callable[[Sequence[str]], Awaitable[list[Document | None]]]
) -> AsyncGenerator[Sequence[Document], None]:
    async for names in pages:
        yield [document for document in await get(names) if document is not None]  # else it was deleted meanwhile
