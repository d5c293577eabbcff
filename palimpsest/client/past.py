"""The words about a document's past: its history, what changed and who changed it, and the ways back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Literal, overload

from palimpsest.client.asking import ask, entry_version, following, made_version
from palimpsest.client.paged import Paged
from palimpsest.client.places import Which, maybe_at, to_place
from palimpsest.client.reports import Blame, Digest
from palimpsest.client.requests import check, check_numbers, check_texts, make_meta, make_path, make_tags
from palimpsest.client.results import Version
from palimpsest.client.session import Session
from palimpsest.client.viewing import inner, make_view, replaced, show
from palimpsest.errors import InvalidRequest
from palimpsest.protocol import messages as m
from palimpsest.state.delta import AnyPath, Delta
from palimpsest.words import MAIN, Kind


class Past:
    """A part of `Client`, which says what holds for all of its words."""

    _session: Session

    def history(
        self,
        document: str,
        *,
        branch: str = MAIN,
        newest_first: bool = True,
        limit: int | None = None,
        first: int | None = None,
        last: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        by: str | None = None,
        tags: Iterable[str] = (),
        tags_all: Iterable[str] = (),
        path: AnyPath | None = None,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
    ) -> AsyncIterator[Version]:
        """The document's versions, each with its delta and the tags that it has by now. limit: at most so many. Those before the
        branch starts are its parent's, and say so: `version.branch` is where each was made.

        Of these, the ones that meet every condition given: first, last: from this version on, and up to it. since, until: made
        from then on, and until then. by: of this author. tags: with any of them; tags_all: with every one. path: something at
        it, above it or inside it was touched.

        Iterating raises DocumentNotFound where it never existed. Versions that are made meanwhile appear where newest_first
        is False; those that are not kept any more are left out. perspective, or family and level: as of `get`.
        """
        check(document, branch)
        view = make_view(perspective, family, level)
        check_numbers(limit=limit, first=first, last=last)
        if limit is not None and limit < 0:
            raise InvalidRequest(f"limit is {limit}, and cannot be negative", reason="limit")
        check_texts(by=by)
        message = m.History(
            0,
            document,
            branch,
            first,
            last,
            bool(newest_first),
            since=maybe_at(since, "since"),
            until=maybe_at(until, "until"),
            by=by,
            tags=make_tags(tags),
            tags_all=make_tags(tags_all, "tags_all"),
            path=None if path is None else make_path(path),
        )
        return Paged(_history_pages(self._session, show(view, message), limit))

    async def diff(
        self,
        document: str,
        a: Which,
        b: Which,
        *,
        branch: str = MAIN,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
    ) -> Delta:
        """What turns the value at `a` into the value at `b`. Each is a version of the branch; a version of any branch, as
        `"branch:version"`, or `"branch"` for its newest; or a time, for the last version made then or before. perspective, or family
        and level: as of `get`.

        Raises DocumentNotFound, also where it was deleted in one of them, VersionNotFound or VersionPruned.
        """
        check(document, branch)
        view = make_view(perspective, family, level)
        message = m.Diff(0, document, to_place(a, branch), to_place(b, branch))
        return Delta.decode((await ask(self._session, m.Differences, show(view, message))).delta)

    async def blame(
        self,
        document: str,
        *,
        branch: str = MAIN,
        version: int | None = None,
        path: AnyPath = (),
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
    ) -> Blame:
        """Which version last set what is at path and inside of it: a map from paths to versions, without their deltas.

        version: as of which; None: the newest. perspective, or family and level: as of `get`. Raises DocumentNotFound, also where there is nothing at path; VersionNotFound,
        VersionPruned, or LimitExceeded where the answer would be too large: then ask by path.
        """
        check(document, branch)
        check_numbers(version=version)
        view = make_view(perspective, family, level)
        message = m.Blame(0, document, m.Place(branch, version), make_path(path))
        return Blame(document, branch, await ask(self._session, m.Blamed, show(view, message)))

    async def digest(self, document: str, *, branch: str = MAIN, version: int | None = None) -> Digest:
        """What proves a version, the newest where none is given, and all that came before it. Raises DocumentNotFound,
        VersionNotFound or VersionPruned."""
        check(document, branch)
        check_numbers(version=version)
        answer = await ask(self._session, m.Digested, m.Digest(0, document, m.Place(branch, version)))
        return Digest(answer.document, answer.branch, answer.version, answer.digest)

    # --- ways back -----------------------------------------------------------------------------------------------

    @overload
    async def revert(
        self,
        document: str,
        to: Which,
        *,
        branch: str = MAIN,
        expect: int | None = None,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        dry_run: Literal[False] = False,
    ) -> Version: ...

    @overload
    async def revert(
        self,
        document: str,
        to: Which,
        *,
        branch: str = MAIN,
        expect: int | None = None,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        dry_run: Literal[True],
    ) -> Delta: ...

    @overload
    async def revert(
        self,
        document: str,
        to: Which,
        *,
        branch: str = MAIN,
        expect: int | None = None,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        dry_run: bool,
    ) -> Version | Delta: ...

    async def revert(
        self,
        document: str,
        to: Which,
        *,
        branch: str = MAIN,
        expect: int | None = None,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        dry_run: bool = False,
    ) -> Version | Delta:
        """A new version whose value is that of `to`, which is said as in `diff`; all between stays in the history. A document
        that is deleted is created again; `kind` is UPDATE here even then. dry_run: nothing is done, and what would change comes
        back: the delta that the version would have.

        Raises DocumentNotFound, also where it did not exist as of `to`; VersionNotFound, VersionPruned or VersionConflict.
        """
        check(document, branch, request_id)
        check_numbers(expect=expect)
        meta = make_meta(by, description, tags)
        message = m.Revert(0, document, to_place(to, branch), branch, expect, False, meta, request_id, bool(dry_run))
        if dry_run:
            return Delta.decode((await ask(self._session, m.Differences, message)).delta)
        answer = await ask(self._session, m.Committed, message)
        return made_version(self._session, document, branch, Kind.UPDATE, answer, meta, request_id)

    @overload
    async def undo(
        self,
        document: str,
        version: int,
        *,
        branch: str = MAIN,
        expect: int | None = None,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        dry_run: Literal[False] = False,
    ) -> Version: ...

    @overload
    async def undo(
        self,
        document: str,
        version: int,
        *,
        branch: str = MAIN,
        expect: int | None = None,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        dry_run: Literal[True],
    ) -> Delta: ...

    @overload
    async def undo(
        self,
        document: str,
        version: int,
        *,
        branch: str = MAIN,
        expect: int | None = None,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        dry_run: bool,
    ) -> Version | Delta: ...

    async def undo(
        self,
        document: str,
        version: int,
        *,
        branch: str = MAIN,
        expect: int | None = None,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        dry_run: bool = False,
    ) -> Version | Delta:
        """A new version without what `version` did, and with all that came after it. Taking back what created the document
        deletes it, and the other way round; `kind` is UPDATE here even then. dry_run: nothing is done, and what would change comes
        back: the delta that the version would have, which is empty where the document would be deleted.

        Raises UndoConflict where what it did was changed again since, with each such place in `conflicts`;
        DocumentNotFound, VersionNotFound, VersionPruned or VersionConflict.
        """
        check(document, branch, request_id)
        _check_version(version)
        check_numbers(expect=expect)
        meta = make_meta(by, description, tags)
        message = m.Undo(0, document, version, branch, expect, False, meta, request_id, bool(dry_run))
        if dry_run:
            return Delta.decode((await ask(self._session, m.Differences, message)).delta)
        answer = await ask(self._session, m.Committed, message)
        return made_version(self._session, document, branch, Kind.UPDATE, answer, meta, request_id)

    # --- labels --------------------------------------------------------------------------------------------------

    async def tag(
        self,
        document: str,
        version: int,
        tags: Iterable[str],
        *,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        request_id: str | None = None,
    ) -> None:
        """The version has these tags from now on. It stays as it was made: that it was tagged, by whom and why, is kept beside
        it. Raises DocumentNotFound, VersionNotFound, VersionPruned or LimitExceeded."""
        words = _some_tags(tags)
        check(document, branch, request_id)
        _check_version(version)
        meta = make_meta(by, description, ())
        message = m.Label(0, document, version, words, (), branch, False, meta, request_id)
        await ask(self._session, m.Committed, message)

    async def untag(
        self,
        document: str,
        version: int,
        tags: Iterable[str],
        *,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        request_id: str | None = None,
    ) -> None:
        """The version has these tags no longer, whether it was made with them or given them later. Raises as `tag` does."""
        words = _some_tags(tags)
        check(document, branch, request_id)
        _check_version(version)
        meta = make_meta(by, description, ())
        message = m.Label(0, document, version, (), words, branch, False, meta, request_id)
        await ask(self._session, m.Committed, message)


async def _history_pages(
    session: Session, message: m.History | m.Through, limit: int | None
) -> AsyncGenerator[Sequence[Version], None]:
    asked: m.History = inner(message)
    left = limit
    while left is None or left > 0:
        page_items = session.settings.page_items
        message = replaced(message, limit=page_items if left is None else min(left, page_items))
        answer = await ask(session, m.Versions, message)
        yield [entry_version(asked.document, asked.branch, entry) for entry in answer.entries]
        start = following(answer, newest_first=asked.newest_first)
        if start is None:
            return
        left = None if left is None else left - len(answer.entries)
        message = replaced(message, last=start) if asked.newest_first else replaced(message, first=start)


def _check_version(version: int) -> None:
    if version is None:
        raise InvalidRequest("which version is meant has to be said: None is none", reason="version")
    check_numbers(version=version)


def _some_tags(tags: Iterable[str]) -> tuple[str, ...]:
    words = make_tags(tags)
    if not words:
        raise InvalidRequest("no tag is named", reason="tags")
    return words
