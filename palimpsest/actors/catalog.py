"""The documents of the server's own that say how others are seen, and by whom, in memory: always as of what is durable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import anyio

from palimpsest.actors.stream import ends
from palimpsest.errors import DocumentNotFound, InvalidValue, PalimpsestError
from palimpsest.logs import get_logger
from palimpsest.protocol.messages import Document, Get
from palimpsest.state.definitions import PERSPECTIVES, Perspective, parse_perspective
from palimpsest.state.lens import Lens, make_lens
from palimpsest.state.ops import decode_delta
from palimpsest.state.perspectives import check_perspectives
from palimpsest.state.roles import ADMIN
from palimpsest.state.schemas import SCHEMAS, Schemas
from palimpsest.state.system import ROLES, TOKENS, check_system
from palimpsest.state.tokens import parse_token
from palimpsest.state.values import Value, decode_value
from palimpsest.state.working import apply_delta
from palimpsest.storage.events import Event
from palimpsest.words import MAIN

log = get_logger("palimpsest.actors")

KEPT = (PERSPECTIVES, SCHEMAS, ROLES, TOKENS)
_ANY_DEPTH = 1 << 30
_LOADED_TOGETHER = 128


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
            names: list[str] = []
            async for name in names_of(prefix, ""):
                names.append(name)
                if len(names) == _LOADED_TOGETHER:
                    await self._load(names, ask)
                    names.clear()
            await self._load(names, ask)

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
        """As `check_system`, and whether what several documents say goes together. Raises InvalidPerspective and InvalidValue, too."""
        check_system(document, value, deleted=deleted)
        if document.startswith(TOKENS) and not deleted:
            self._check_token(document, value)
        if not document.startswith(PERSPECTIVES):
            return
        name = document.removeprefix(PERSPECTIVES)
        known = self._perspectives.get(name)
        said = None if deleted else parse_perspective(name, value)
        check_perspectives(_concerned(self._perspectives, name, known, said))

    def _check_token(self, document: str, value: Any) -> None:
        """With the first one the server is open no longer: it has to be one that can make others."""
        others = any(name.startswith(TOKENS) and name != document for name in self.values)
        token = parse_token(value)
        if not others and (ADMIN not in token.roles or token.expires_at is not None):
            reason = "the first token has the role admin, and no end"
            raise InvalidValue(f"{document!r}: {reason}, or nobody could make another", path="roles", reason=reason)

    def lens(self, name: str, level: int | None) -> Lens:
        """level: of the family `name`. Raises PerspectiveNotFound, or InvalidPerspective."""
        key = (name, level)
        lens = self._lenses.get(key)
        if lens is None:
            lens = self._lenses[key] = make_lens(self._perspectives, name, level)
        return lens

    async def _load(self, names: Sequence[str], ask: Callable[[Get], Awaitable[Document]]) -> None:
        async def load(name: str) -> None:
            with suppress(DocumentNotFound):
                self._put(name, decode_value((await ask(Get(0, name))).value))

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(load, name)

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


def _concerned(
    perspectives: Mapping[str, Perspective], name: str, known: Perspective | None, said: Perspective | None
) -> dict[str, Perspective]:
    """What there is to check when `name`, which was `known`, becomes `said`: that, and all that is bound to either by what they extend
    and by families, step by step. The others were checked when they were written."""
    others = {other: each for other, each in perspectives.items() if other != name}
    found = {} if said is None else {name: said}
    bound = [each for each in (known, said) if each is not None]
    names: set[str | None] = {name, *(each.extends for each in bound)} - {None}
    families: set[str | None] = {each.family for each in bound} - {None}
    while more := [
        other for other, each in others.items() if other in names or each.extends in names or each.family in families
    ]:
        for other in more:
            each = found[other] = others.pop(other)
            names |= {other, each.extends} - {None}
            families |= {each.family} - {None}
    return found
