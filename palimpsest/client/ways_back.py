"""The shapes of `revert` and `undo` on the sync face: what comes back depends on whether it is a dry run, and that has to be spelt out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol, overload

from palimpsest.client.places import Which
from palimpsest.client.results import Version
from palimpsest.state.delta import Delta


class Reverting(Protocol):
    @overload
    def __call__(
        self,
        document: str,
        to: Which,
        *,
        branch: str = ...,
        expect: int | None = ...,
        by: str | None = ...,
        description: str | None = ...,
        tags: Iterable[str] = ...,
        request_id: str | None = ...,
        dry_run: Literal[False] = ...,
    ) -> Version: ...

    @overload
    def __call__(
        self,
        document: str,
        to: Which,
        *,
        branch: str = ...,
        expect: int | None = ...,
        by: str | None = ...,
        description: str | None = ...,
        tags: Iterable[str] = ...,
        request_id: str | None = ...,
        dry_run: Literal[True],
    ) -> Delta: ...

    @overload
    def __call__(
        self,
        document: str,
        to: Which,
        *,
        branch: str = ...,
        expect: int | None = ...,
        by: str | None = ...,
        description: str | None = ...,
        tags: Iterable[str] = ...,
        request_id: str | None = ...,
        dry_run: bool,
    ) -> Version | Delta: ...


class Undoing(Protocol):
    @overload
    def __call__(
        self,
        document: str,
        version: int,
        *,
        branch: str = ...,
        expect: int | None = ...,
        by: str | None = ...,
        description: str | None = ...,
        tags: Iterable[str] = ...,
        request_id: str | None = ...,
        dry_run: Literal[False] = ...,
    ) -> Version: ...

    @overload
    def __call__(
        self,
        document: str,
        version: int,
        *,
        branch: str = ...,
        expect: int | None = ...,
        by: str | None = ...,
        description: str | None = ...,
        tags: Iterable[str] = ...,
        request_id: str | None = ...,
        dry_run: Literal[True],
    ) -> Delta: ...

    @overload
    def __call__(
        self,
        document: str,
        version: int,
        *,
        branch: str = ...,
        expect: int | None = ...,
        by: str | None = ...,
        description: str | None = ...,
        tags: Iterable[str] = ...,
        request_id: str | None = ...,
        dry_run: bool,
    ) -> Version | Delta: ...
