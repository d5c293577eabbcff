"""Documents with their full history, out of one server and into another. What a line is, `history_lines` knows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from palimpsest.client.asking import OnProgress, ask_patiently
from palimpsest.client.backoff import Backoff
from palimpsest.client.exporting import Export
from palimpsest.client.history_lines import Header, Line, VersionLine, at_line, parse_line, to_entry
from palimpsest.client.reports import ImportReport
from palimpsest.client.session import Session
from palimpsest.errors import Conflict, InvalidRequest, Overload, PalimpsestError, UsageError
from palimpsest.protocol import messages as m

__all__ = ["Export", "Import"]

_IMPORT_BYTES = 1024 * 1024
"""Of what is sent before answers are waited for."""
_IMPORT_ENTRIES = 1_000
_ENTRY_BYTES = 32
"""What a version takes beside its delta and what was said of it, roughly."""

_encode = msgspec.msgpack.Encoder().encode

_Stream = tuple[str, str]
_Numbered = Sequence[tuple[int, m.Entry]]
"""Versions, each with the number of its line."""


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
        self._added = ("", "")
        """Whose version was added last."""
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
        size = _ENTRY_BYTES + len(entry.delta) + len(_encode((entry.meta, entry.request, entry.parents)))
        entries_max = min(_IMPORT_ENTRIES, limits.get("page_items_max", _IMPORT_ENTRIES))
        bytes_max = min(_IMPORT_BYTES, limits.get("frame_bytes_max", _IMPORT_BYTES) // 2)
        gathered = self._round.get(stream, [])
        full = self._round_bytes + size > bytes_max or len(gathered) >= entries_max
        # A stream that comes back goes on behind those that came meanwhile: it may start from them.
        again = bool(gathered) and (stream != self._added or gathered[-1][1].version >= entry.version)
        if self._round and (full or again):
            await self._send()
        self._added = stream
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
