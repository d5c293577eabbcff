"""Documents with their full history, out of a server. What a line is, `history_lines` knows; which streams, `branch_order`.

The history of one branch can be exported alone, with that of what it starts from: of each document one line of versions, which is called
`main`, whatever branches they were made on, so that it can be imported without the rest. Through a perspective nothing else can be
exported, in the view's words: what is said of versions, and of branches, is in no view.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.client.asking import ask, following
from palimpsest.client.branch_order import Stream, branch_streams, streams_behind
from palimpsest.client.history_lines import header_line, stands_alone, to_line
from palimpsest.client.listing import name_pages
from palimpsest.client.session import Session
from palimpsest.client.viewing import View, show
from palimpsest.errors import BranchNotFound, DocumentNotFound, InvalidRequest, VersionPruned
from palimpsest.protocol import messages as m
from palimpsest.state.names import Pattern
from palimpsest.state.values import decode_plain
from palimpsest.words import MAIN, RECORD, Node, Parents

_DOCUMENTS_TOGETHER = 8
"""Whose first pages are asked for at once; each may be some 2 MiB."""

Lines = list[dict[str, Any]]


class Export:
    """after: (document, branch, version), the place to go on behind. branch: whose history is exported alone; None: all branches, or `main`
    where there is a view. view: what documents are seen through, if anything. Raises InvalidName or InvalidRequest."""

    def __init__(
        self,
        session: Session,
        documents: str,
        after: tuple[str, str, int] | None,
        branch: str | None = None,
        view: View | None = None,
    ) -> None:
        self._session = session
        self._pattern = Pattern.parse(documents)
        self._view = view
        self._header = header_line(self._pattern.text, branch=branch, **_said(view))
        self._branch = MAIN if branch is None and view is not None else branch
        """Whose history is exported alone; None: all of them."""
        if branch is not None and (not branch or branch.startswith("$")):
            raise InvalidRequest(f"{branch!r} is no branch that can be exported alone", reason="branch")
        self._branches = (RECORD, MAIN) if self._branch is None else (MAIN,)
        """Of each document, what comes first."""
        self._after = None if after is None else _check_after(after, self._pattern)
        if self._branch is not None and self._after is not None and self._after[1] != MAIN:
            reason = f"after names the branch {self._after[1]!r}; the versions of this export are all called {MAIN!r}"
            raise InvalidRequest(reason, reason="after")

    async def pages(self) -> AsyncGenerator[Lines, None]:
        """Raises InvalidRequest where the document of `after` never had such a branch."""
        start = ""
        if self._after is None:
            yield [self._header]
        else:
            start = self._after[0]
            async for lines in self._rest(*self._after):
                yield lines
        async for names in self._names(start):
            for place in range(0, len(names), _DOCUMENTS_TOGETHER):
                streams = [
                    self._begin(name, branch)
                    for name in names[place : place + _DOCUMENTS_TOGETHER]
                    for branch in self._branches
                ]
                pages = await asyncio.gather(*map(self._page, streams))
                each = len(self._branches)
                for index in range(0, len(streams), each):
                    async for lines in self._document(streams[index : index + each], pages[index : index + each]):
                        yield lines

    def _begin(self, document: str, branch: str, first: int = 1) -> Stream:
        """What is called `branch` of a document: where one is exported alone, the versions are that one's."""
        return Stream(document, branch, first, through=self._branch or "")

    async def _names(self, after: str) -> AsyncGenerator[Sequence[str], None]:
        """Of all documents that match, by name."""
        if self._branch is not None:
            async for names in name_pages(
                self._session, self._pattern.text, branch=self._branch, after=after, deleted=True, view=self._view
            ):
                yield names
            return
        others = self._only_on_branches(after)
        other = await anext(others, None)
        async for names in name_pages(self._session, self._pattern.text, after=after, deleted=True):
            found = list(names)
            while other is not None and found and other < found[-1]:
                insort(found, other)
                other = await anext(others, None)
            yield found
        while other is not None:
            yield [other]
            other = await anext(others, None)

    async def _only_on_branches(self, after: str) -> AsyncGenerator[str, None]:
        """Names of documents that are on branches and never were on `main`."""
        more = True
        while more:
            message = m.ListBranches(0, self._pattern.text, after, self._session.settings.page_items)
            try:
                answer = await ask(self._session, m.Branches, message)
            except DocumentNotFound:  # the pattern is the name of one
                return
            for info in answer.branches:
                if info.branch == MAIN and not info.head and info.document > after:
                    yield info.document
            more = answer.more
            after = answer.branches[-1].document if answer.branches else after

    async def _document(
        self, streams: Sequence[Stream], pages: Sequence[m.Versions | None]
    ) -> AsyncGenerator[Lines, None]:
        """streams: of its record and of `main`, or of `main` alone, and the first page of each."""
        if self._branch is not None:
            async for lines in self._stream(streams[0], pages[0]):
                yield lines
            return
        (record, main), (said, page) = streams, pages
        newest = record.first - 1
        async for lines in self._stream(record, said):
            newest = lines[-1]["version"] if lines else newest
            yield lines
        async for lines in self._stream(main, page):
            yield lines
        if newest:
            for stream in branch_streams(main.document, await self._record(main.document, newest)):
                async for lines in self._stream(stream, await self._page(stream)):
                    yield lines

    async def _rest(self, document: str, branch: str, version: int) -> AsyncGenerator[Lines, None]:
        """What comes behind a place of the document."""
        if branch == RECORD:
            streams = [Stream(document, RECORD, version + 1), Stream(document, MAIN)]
            async for lines in self._document(streams, await asyncio.gather(*map(self._page, streams))):
                yield lines
            return
        if branch == MAIN:
            main = self._begin(document, MAIN, version + 1)
            async for lines in self._stream(main, await self._page(main)):
                yield lines
        if self._branch is not None:
            return
        for stream in await self._streams_behind(document, (branch, version)):
            async for lines in self._stream(stream, await self._page(stream)):
                yield lines

    async def _streams_behind(self, document: str, node: Node) -> list[Stream]:
        record = await self._record(document)
        if node[0] == MAIN:
            return branch_streams(document, record)
        found = streams_behind(document, record, node)
        if found is None and record is not None:
            reason = f"after names the branch {node[0]!r}, which {document!r} never had"
            raise InvalidRequest(reason, reason="after")
        return found or []  # without a record, all of it was erased

    async def _record(self, document: str, version: int | None = None) -> Any:
        """The value of its `$versions`; None where it has none, or was erased."""
        try:
            found = await ask(self._session, m.Document, m.Get(0, document, RECORD, version))
        except DocumentNotFound:
            return None
        return decode_plain(found.value)

    async def _page(self, stream: Stream, first: int | None = None) -> m.Versions | None:
        """None where the document has no such branch."""
        message = m.History(
            0,
            stream.document,
            stream.read_on,
            first=stream.first if first is None else first,
            last=stream.last,
            newest_first=False,
            limit=self._session.settings.page_items,
        )
        try:
            return await ask(self._session, m.Versions, show(self._view, message))
        except (DocumentNotFound, BranchNotFound):
            return None

    async def _stream(self, stream: Stream, page: m.Versions | None) -> AsyncGenerator[Lines, None]:
        """page: the first one."""
        previous = stream.first - 1
        while page is not None:
            lines: Lines = []
            for entry in page.entries:
                if self._branch is None and (entry.branch or stream.read_on) != stream.branch:
                    continue
                line = await self._line(stream, entry, previous)
                if line is not None:
                    lines.append(line)
                    previous = entry.version
            yield lines
            first = following(page, newest_first=False)
            page = None if first is None else await self._page(stream, first)

    async def _line(self, stream: Stream, entry: m.Entry, previous: int) -> dict[str, Any] | None:
        """previous: the version that an importer has before it; 0: none. None where the version is not kept any more by now."""
        document, branch = stream.document, stream.branch
        if self._branch is not None:  # what it comes from beside the one before it is not there
            entry = msgspec.structs.replace(entry, parents=None)
        base = None if entry.parents is None else entry.parents.base
        follows = entry.version == previous + 1
        if stream.last is not None and base is not None and await self._value(document, base) is None:
            entry = _without_base(entry)
            follows = False
        if follows or stands_alone(entry):
            return to_line(document, branch, entry)
        # Special case: of a branch that was rebased, its name and this number may mean what it was before.
        value = await self._value(document, (entry.branch or stream.read_on, entry.version))
        return None if value is None else to_line(document, branch, entry, decode_plain(value))

    async def _value(self, document: str, node: Node) -> Raw | None:
        """Encoded; None where it is not kept any more."""
        try:
            return (await ask(self._session, m.Document, show(self._view, m.Get(0, document, *node)))).value
        except (VersionPruned, DocumentNotFound, BranchNotFound):
            return None


def _said(view: View | None) -> dict[str, str | int | None]:
    if view is None:
        return {}
    name, level = view
    return {"perspective": name} if level is None else {"family": name, "level": level}


def _check_after(after: Any, pattern: Pattern) -> tuple[str, str, int]:
    try:
        document, branch, version = msgspec.convert(tuple(after), tuple[str, str, m.Number])
    except (TypeError, msgspec.ValidationError) as error:
        raise InvalidRequest(f"after is {after!r}, not (document, branch, version): {error}", reason="after") from None
    if branch.startswith("$") and branch != RECORD:
        raise InvalidRequest(f"after names the branch {branch!r}, which no export has", reason="after")
    if not pattern.matches(document):
        raise InvalidRequest(f"after names {document!r}, which {pattern.text!r} does not match", reason="after")
    return document, branch, version


def _without_base(entry: m.Entry) -> m.Entry:
    """The first version of a branch, where what that starts from is not kept."""
    merged = () if entry.parents is None else entry.parents.merged
    return msgspec.structs.replace(entry, parents=Parents(None, merged))
