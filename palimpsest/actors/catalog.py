"""The documents of the server's own that say how others are seen, and by whom, in memory: always as of what is durable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from palimpsest.actors.stream import ends
from palimpsest.errors import DocumentNotFound, PalimpsestError
from palimpsest.logs import get_logger
from palimpsest.protocol.messages import Document, Get
from palimpsest.state.definitions import PERSPECTIVES, Perspective, parse_perspective
from palimpsest.state.lens import Lens, make_lens
from palimpsest.state.ops import decode_delta
from palimpsest.state.perspectives import check_perspectives
from palimpsest.state.schemas import SCHEMAS, Schemas
from palimpsest.state.system import ROLES, TOKENS, check_system
from palimpsest.state.values import Value, decode_value
from palimpsest.state.working import apply_delta
from palimpsest.storage.events import Event
from palimpsest.words import MAIN

log = get_logger("palimpsest.actors")

KEPT = (PERSPECTIVES, SCHEMAS, ROLES, TOKENS)
_ANY_DEPTH = 1 << 30


class Catalog:
    """Their values, and what is made of them. What does not parse, because an older release wrote it, is as if it were not there."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        """By document: those that exist."""
        self.schemas = Schemas()
        self._perspectives: dict[str, Perspective] = {}
        self._lenses: dict[tuple[str, int | None], Lens] = {}
        self._watchers: list[Callable[[str], None]] = []

    def watch(self, callback: Callable[[str], None]) -> None:
        """callback: called with a document's name right after a change of it is durable, before anybody is told of it."""
        self._watchers.append(callback)

    async def load(
        self,
        names_of: Callable[[str, str], AsyncIterator[str]],
        ask: Callable[[Get], Awaitable[Document]],
    ) -> None:
        """At the start. names_of: what there is that begins with a prefix, after a name; deleted ones, too."""
        for prefix in KEPT:
            async for name in names_of(prefix, ""):
                try:
                    found = await ask(Get(0, name))
                except DocumentNotFound:
                    continue
                self._put(name, decode_value(found.value))

    def on_durable(self, event: Event) -> None:
        """event: of a document whose name begins with `$`."""
        name = event.document
        if event.branch != MAIN or not name.startswith(KEPT):
            return
        ops = decode_delta(event.delta)
        if ends(event.kind, ops):
            self._drop(name)
        else:
            self._put(name, apply_delta(self.values.get(name), ops, depth_max=_ANY_DEPTH))
        for watcher in self._watchers:
            watcher(name)

    def check(self, document: str, value: Value | None, *, deleted: bool = False) -> None:
        """As `check_system`, and whether what several documents say goes together. Raises InvalidPerspective, too."""
        check_system(document, value, deleted=deleted)
        if not document.startswith(PERSPECTIVES):
            return
        name = document.removeprefix(PERSPECTIVES)
        others = {other: said for other, said in self._perspectives.items() if other != name}
        if deleted:
            if name in self._perspectives:
                check_perspectives(others)
        else:
            check_perspectives({**others, name: parse_perspective(name, value)})

    def lens(self, name: str, level: int | None) -> Lens:
        """level: of the family `name`. Raises PerspectiveNotFound, or InvalidPerspective."""
        key = (name, level)
        lens = self._lenses.get(key)
        if lens is None:
            lens = self._lenses[key] = make_lens(self._perspectives, name, level)
        return lens

    def _put(self, name: str, value: Value) -> None:
        self.values[name] = value
        try:
            if name.startswith(PERSPECTIVES):
                short = name.removeprefix(PERSPECTIVES)
                self._forget_perspective(short)
                self._perspectives[short] = parse_perspective(short, value)
            elif name.startswith(SCHEMAS):
                self.schemas.put(name.removeprefix(SCHEMAS), value)
        except PalimpsestError as error:
            log.warning("system_document_refused", document=name, reason=error.message)

    def _drop(self, name: str) -> None:
        self.values.pop(name, None)
        if name.startswith(PERSPECTIVES):
            self._forget_perspective(name.removeprefix(PERSPECTIVES))
        elif name.startswith(SCHEMAS):
            self.schemas.drop(name.removeprefix(SCHEMAS))

    def _forget_perspective(self, name: str) -> None:
        self._perspectives.pop(name, None)
        self._lenses.clear()
