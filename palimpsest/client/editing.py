"""Drafts: mutable copies of a document, whose differences become one delta."""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeAlias

from palimpsest.client.results import Version
from palimpsest.errors import InvalidRequest
from palimpsest.state.delta import Delta
from palimpsest.state.diff import diff
from palimpsest.state.values import check_value, describe


class MapDraft(dict[str, Any]):
    """A map that is being edited. version: what leaving the block made; None until then, and where nothing differed."""

    version: Version | None = None


class ListDraft(list[Any]):
    """A list that is being edited. version: as of `MapDraft`."""

    version: Version | None = None


Draft: TypeAlias = MapDraft | ListDraft


def make_draft(document: str, value: Any) -> Draft:
    """value: a copy that is the draft's own. Raises InvalidRequest where it is neither a map nor a list."""
    if isinstance(value, dict):
        return MapDraft(value)
    if isinstance(value, list):
        return ListDraft(value)
    raise InvalidRequest(
        f"{document!r} is {describe(value)} and has no parts to edit; update it with {{'': value}}",
        reason=f"the value is {describe(value)}",
    )


def draft_delta(before: Any, draft: Draft) -> Delta:
    """What turns `before` into what the draft has become. Raises InvalidValue where that holds what is no value."""
    after = dict(draft) if isinstance(draft, MapDraft) else list(draft)
    check_value(after)
    return Delta(diff(before, after))


class Editing:
    """`async with client.edit(...) as draft`. See `Client.edit`."""

    def __init__(self, client: Any, document: str, branch: str, said: dict[str, Any], view: dict[str, Any]) -> None:
        """said: of the update; view: of both. Their named arguments."""
        self._client = client
        self._document = document
        self._branch = branch
        self._said = said | view
        self._view = view
        self._before: Any = None
        self._version = 0
        self._draft: Draft

    async def __aenter__(self) -> Any:
        read = await self._client.get(self._document, branch=self._branch, **self._view)
        self._before = read.value
        self._version = read.version
        self._draft = make_draft(self._document, read.copy_value())
        return self._draft

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            return
        delta = draft_delta(self._before, self._draft)
        if len(delta):
            self._draft.version = await self._client.update(
                self._document, delta, branch=self._branch, expect=self._version, **self._said
            )
