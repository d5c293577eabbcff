"""Documents with their full history, out of one server and into another. What a line is, `history_lines` knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec

from palimpsest.client.asking import OnProgress, ask, ask_patiently, following
from palimpsest.client.backoff import Backoff
from palimpsest.client.history_lines import (
    BRANCHES,
    Header,
    Line,
    VersionLine,
    at_line,
    header_line,
    parse_line,
    stands_alone,
    to_entry,
    to_line,
)
from palimpsest.client.listing import name_pages
from palimpsest.client.reports import ImportReport
from palimpsest.client.session import Session
from palimpsest.errors import (
    Conflict,
    DocumentNotFound,
    InvalidRequest,
    Overload,
    PalimpsestError,
    UsageError,
    VersionPruned,
)
from palimpsest.protocol import messages as m
from palimpsest.state.names import Pattern
from palimpsest.state.values import decode_plain

_DOCUMENTS_TOGETHER = 8
"""Whose first pages are asked for at once; each may be some 2 MiB."""
_IMPORT_BYTES = 1024 * 1024
"""Of what is sent before answers are waited for."""
_IMPORT_ENTRIES = 1_000
_ENTRY_BYTES = 32
"""What a version takes beside its delta and what was said of it, roughly."""

_encode = msgspec.msgpack.Encoder().encode

Lines = list[dict[str, Any]]
_Stream = tuple[str, str]
_Numbered = Sequence[tuple[int, m.Entry]]
"""Versions, each with the number of its line."""


class Export:
    """after: (document, branch, version), the place to go on behind. Raises InvalidName or InvalidRequest."""

    def __init__(self, session: Session, documents: str, after: tuple[str, str, int] | None) -> None:
        self._session = session
        self._pattern = Pattern.parse(documents)
        self._after = None if after is None else _check_after(after, self._pattern)

    async def pages(self) -> AsyncGenerator[Lines, None]:
        start = ""
        if self._after is None:
            yield [header_line(self._pattern.text)]
        else:
            start, branch, version = self._after
            for rest in BRANCHES[BRANCHES.index(branch) :]:
                first = version + 1 if rest == branch else 1
                async for lines in self._stream(start, rest, await self._page(start, rest, first), first - 1):
                    yield lines
        async for names in name_pages(self._session, self._pattern.text, after=start, deleted=True):
            for place in range(0, len(names), _DOCUMENTS_TOGETHER):
                streams = [(name, branch) for name in names[place : place + _DOCUMENTS_TOGETHER] for branch in BRANCHES]
                pages = await asyncio.gather(*[self._page(*stream, 1) for stream in streams])
                for stream, page in zip(streams, pages, strict=True):
                    async for lines in self._stream(*stream, page, 0):
                        yield lines

    async def _page(self, document: str, branch: str, first: int) -> m.Versions | None:
        """None where the document has no such branch."""
        limit = self._session.settings.page_items
        message = m.History(0, document, branch, first=first, newest_first=False, limit=limit)
        try:
            return await ask(self._session, m.Versions, message)
        except DocumentNotFound:
            return None

    async def _stream(
        self, document: str, branch: str, page: m.Versions | None, previous: int
    ) -> AsyncGenerator[Lines, None]:
        """page: the first one. previous: the version that an importer has before it; 0: none."""
        while page is not None:
            lines: Lines = []
            for entry in page.entries:
                line = await self._line(document, branch, entry, previous)
                if line is not None:
                    lines.append(line)
                    previous = entry.version
            yield lines
            first = following(page, newest_first=False)
            page = None if first is None else await self._page(document, branch, first)

    async def _line(self, document: str, branch: str, entry: m.Entry, previous: int) -> dict[str, Any] | None:
        """None where the version is not kept any more by now."""
        if entry.version == previous + 1 or stands_alone(entry):
            return to_line(document, branch, entry)
        try:
            found = await ask(self._session, m.Document, m.Get(0, document, branch, entry.version))
        except (VersionPruned, DocumentNotFound):
            return None
        return to_line(document, branch, entry, decode_plain(found.value))


class Import:
    """Feed it lines, then finish.

    Lines gather into rounds. All documents of a round are sent at once, one message for each branch, and the answers are waited
    for: so there is never more under way than a round, and of one document never more than a message. A document's branches
    come in their order, as what was said of versions is to be there before them.
    """

    def __init__(self, session: Session, on_progress: OnProgress | None) -> None:
        self._session = session
        self._on_progress = on_progress
        self._round: dict[_Stream, list[tuple[int, m.Entry]]] = {}
        self._round_bytes = 0
        self._headed = False
        """The header has been met."""
        self._stream = ("", "")
        """Of the line before."""
        self._version = 0
        self._lines = self._documents = self._made = self._present = 0

    async def feed(self, lines: Sequence[Line]) -> None:
        """Raises as `Keeping.import_history` says, after what came before the bad line has been sent."""
        for line in lines:
            self._lines += 1
            try:
                found = self._parse(line)
            except PalimpsestError as error:
                number = self._lines
                await self._send()
                raise at_line(number, error) from None
            if found is not None:
                await self._add(*found)

    async def finish(self) -> ImportReport:
        if not self._headed:
            raise InvalidRequest("nothing to import: an export has a header at least", reason="empty")
        await self._send()
        return ImportReport(self._lines, self._documents, self._made, self._present)

    def _parse(self, line: Line) -> tuple[_Stream, m.Entry] | None:
        """None for what is no version. Raises what is wrong with it."""
        if isinstance(line, (str, bytes)) and not line.strip():
            return None
        parsed = parse_line(line)
        if isinstance(parsed, Header):
            self._headed = True
            return None
        if not self._headed:
            raise InvalidRequest("an export begins with its header", reason="no header")
        entry = to_entry(parsed)
        self._follow(parsed)
        return (parsed.document, parsed.branch), entry

    def _follow(self, line: VersionLine) -> None:
        stream = (line.document, line.branch)
        if stream != self._stream:
            self._documents += line.document != self._stream[0]
            self._stream = stream
        elif line.version <= self._version:
            raise InvalidRequest(f"version {line.version} comes after version {self._version}", reason="order")
        self._version = line.version

    async def _add(self, stream: _Stream, entry: m.Entry) -> None:
        limits = self._session.limits
        size = _ENTRY_BYTES + len(entry.delta) + len(_encode((entry.meta, entry.request)))
        entries_max = min(_IMPORT_ENTRIES, limits.get("page_items_max", _IMPORT_ENTRIES))
        bytes_max = min(_IMPORT_BYTES, limits.get("frame_bytes_max", _IMPORT_BYTES) // 2)
        gathered = self._round.get(stream, ())
        full = self._round_bytes + size > bytes_max or len(gathered) >= entries_max
        if self._round and (full or (gathered and gathered[-1][1].version >= entry.version)):
            await self._send()
        self._round.setdefault(stream, []).append((self._lines, entry))
        self._round_bytes += size

    # --- sending -------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        """Sends what has gathered. Raises what is wrong with the first bad line of it."""
        together, self._round = self._round, {}
        self._round_bytes = 0
        documents: dict[str, list[tuple[_Stream, _Numbered]]] = {}
        for stream, numbered in together.items():
            documents.setdefault(stream[0], []).append((stream, numbered))
        results = await asyncio.gather(*map(self._adopt_all, documents.values()), return_exceptions=True)
        for error in results:
            if error is not None:
                raise error
        if together and self._on_progress is not None:
            self._on_progress(max(numbered[-1][0] for numbered in together.values()), 0)

    async def _adopt_all(self, streams: Sequence[tuple[_Stream, _Numbered]]) -> None:
        for stream, numbered in streams:
            try:
                await self._adopt(stream, numbered)
            except (UsageError, Conflict) as error:
                raise await self._named(stream, numbered, error) from None

    async def _adopt(self, stream: _Stream, numbered: _Numbered) -> None:
        """A server that has too much to do is asked again, until timeout_seconds are over."""
        document, branch = stream
        message = m.Import(0, document, tuple([entry for _, entry in numbered]), branch)
        settings = self._session.settings
        backoff = Backoff(settings.backoff_seconds_min, settings.backoff_seconds_max)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + settings.timeout_seconds
        while True:
            try:
                answer = await ask_patiently(self._session, m.Imported, message)
            except Overload:
                delay = backoff.next_seconds()
                if loop.time() + delay >= give_up:
                    raise
                await asyncio.sleep(delay)
            else:
                self._made += answer.made
                self._present += len(numbered) - answer.made
                return

    async def _named(self, stream: _Stream, numbered: _Numbered, error: PalimpsestError) -> PalimpsestError:
        """The error with the number of the line that it is about: found by sending them again, one at a time. Where all of them
        pass now, somebody else was at the same document; the error is as it came."""
        if len(numbered) == 1:
            return at_line(numbered[0][0], error)
        for number, entry in numbered:
            try:
                await self._adopt(stream, [(number, entry)])
            except (UsageError, Conflict) as own:
                return at_line(number, own)
        return error


def _check_after(after: Any, pattern: Pattern) -> tuple[str, str, int]:
    try:
        document, branch, version = msgspec.convert(tuple(after), tuple[str, str, m.Number])
    except (TypeError, msgspec.ValidationError) as error:
        raise InvalidRequest(f"after is {after!r}, not (document, branch, version): {error}", reason="after") from None
    if branch not in BRANCHES:
        raise InvalidRequest(f"after names the branch {branch!r}, which no export has", reason="after")
    if not pattern.matches(document):
        raise InvalidRequest(f"after names {document!r}, which {pattern.text!r} does not match", reason="after")
    return document, branch, version
