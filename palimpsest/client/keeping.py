"""The words about documents as a whole: what is kept of them and what they take, and how they travel with their history."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

from palimpsest.client.asking import OnProgress, ask_patiently, made_version
from palimpsest.client.history_lines import Line
from palimpsest.client.paged import Paged
from palimpsest.client.reports import BackupReport, ImportReport, PruneReport, Stats, shares
from palimpsest.client.requests import check, check_numbers, check_texts, make_meta, make_path, make_tags
from palimpsest.client.results import Version
from palimpsest.client.session import Session
from palimpsest.client.transfer import Export, Import
from palimpsest.client.viewing import make_view
from palimpsest.errors import InvalidRequest
from palimpsest.protocol import messages as m
from palimpsest.state.delta import AnyPath
from palimpsest.words import MAIN, Kind

_EVERY_TAG = ("*",)


class Keeping:
    """A part of `Client`, which says what holds for all of its words.

    What is said here may take long. It is waited for as long as the server is there: RequestTimeout comes once nothing has been
    heard of it for timeout_seconds. on_progress: called now and then with what is done, and of how much (0: not known); what
    it raises ends the wait.
    """

    _session: Session

    async def erase(
        self,
        document: str,
        path: AnyPath = (),
        *,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        request_id: str | None = None,
    ) -> Version:
        """What is at path is gone from every version of every branch and from the store's files, on return. `*` stands for every
        key and every index. (): the whole document. branch: whose version is returned. It cannot be taken back. That something was
        erased, where, by whom and why, is kept as a version, and what is left can still be proved.

        Backups and exports made before still have it. Raises DocumentNotFound or InvalidPath.
        """
        check(document, branch, request_id)
        meta = make_meta(by, description, ())
        message = m.Erase(0, document, make_path(path), branch, False, meta, request_id)
        answer = await ask_patiently(self._session, m.Committed, message)
        return made_version(self._session, document, branch, Kind.ERASE, answer, meta, request_id)

    async def prune(
        self,
        documents: str = "**",
        *,
        branch: str = MAIN,
        versions: int | None = None,
        age: timedelta | float | None = None,
        bytes_max: int | None = None,
        tags: Iterable[str] = _EVERY_TAG,
        dry_run: bool = True,
        on_progress: OnProgress | None = None,
    ) -> PruneReport:
        """Old versions of the documents that match are not kept any more; unless dry_run is False, it is only said what would go.

        What is kept: a version that is among the newest `versions`, or younger than `age` (in seconds, if it is a number), or has
        a tag that matches one of `tags`, where `*` stands for any characters; the newest always. bytes_max: of a document;
        beyond it the oldest go all the same, but for those that are tagged so. With none of versions, age and bytes_max: the
        policies kept on the server decide; see `retention`.

        Raises InvalidName or InvalidRequest.
        """
        check(documents, branch)
        message = m.Prune(0, documents, branch, _retain(versions, age, bytes_max, tags), bool(dry_run))
        answer = await ask_patiently(self._session, m.Pruned, message, on_progress)
        return PruneReport(answer.documents, answer.events, answer.bytes, shares(answer.largest), answer.dry_run)

    async def stats(
        self,
        documents: str = "**",
        *,
        branch: str = MAIN,
        largest: int = 20,
        on_progress: OnProgress | None = None,
    ) -> Stats:
        """What the documents that match take. largest: how many of them are named. Raises InvalidName."""
        check(documents, branch)
        check_numbers(largest=largest)
        message = m.Measure(0, documents, branch, largest)
        answer = await ask_patiently(self._session, m.Measured, message, on_progress)
        return Stats(
            answer.documents,
            answer.deleted,
            answer.versions,
            answer.events,
            answer.snapshots,
            answer.bytes,
            shares(answer.largest),
        )

    async def backup(self, path: str | os.PathLike[str], *, on_progress: OnProgress | None = None) -> BackupReport:
        """Copies the whole store into a new directory, while it is being used. path: on the server's machine; it must not exist
        yet. The progress is in bytes. Raises InvalidRequest, also for a store that has no files."""
        where = os.fspath(path)
        if not isinstance(where, str):
            raise InvalidRequest("a backup's path is text", reason="path")
        answer = await ask_patiently(self._session, m.Saved, m.Backup(0, where), on_progress)
        return BackupReport(answer.path, answer.position, answer.bytes)

    # --- in and out ----------------------------------------------------------------------------------------------

    def export(
        self,
        documents: str = "**",
        *,
        after: tuple[str, str, int] | None = None,
        branch: str | None = None,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """The documents that match with all that is kept of their history, as plain maps that JSON can hold: a header, and one
        for each version; see `palimpsest.client.history_lines`. Deleted documents are among them, and so is what was said of
        versions afterwards. Names that begin with `$` are only where the pattern begins with it.

        They come by document; of each, what was said of its versions, `main`, and each branch behind what it starts from. after: such a
        place, (document, branch, version); it goes on behind it, without a
        header. Each document is as of its own moment.

        branch: its history alone, with that of what it starts from, in one line of versions that is called `main`, so that it can be imported
        without the rest; what its versions come from beside the ones before them, and what was said of versions in `$versions`, are missing.
        perspective, or family and level: the versions of branch, or of `main`, that changed what is seen through it, with its deltas and
        values; those that did not are missing, and so are request ids.

        Raises InvalidName, InvalidRequest, and PerspectiveNotFound.
        """
        check(documents, MAIN)
        check_texts(branch=branch)
        return Paged(Export(self._session, documents, after, branch, make_view(perspective, family, level)).pages())

    async def import_history(
        self, lines: Iterable[Line] | AsyncIterable[Line], *, on_progress: OnProgress | None = None
    ) -> ImportReport:
        """Adds the versions of an export, with their times and authors. lines: maps, or their JSON as text. What is there
        already is passed over, so that it can be said again after it was interrupted.

        The progress is in lines. Raises what is wrong with a line, as an error whose `line` is its number (the header's is
        1): InvalidRequest where it is no line of an export, Conflict where the document has another such version, and what
        the server refuses. What came before that line is imported then, and nothing of the line itself.
        """
        importing = Import(self._session, on_progress)
        if isinstance(lines, AsyncIterable):
            async for line in lines:
                await importing.feed([line])
        else:
            for line in lines:
                await importing.feed([line])
        return await importing.finish()


def _retain(
    versions: int | None, age: timedelta | float | None, bytes_max: int | None, tags: Iterable[str]
) -> m.Retain | None:
    """None where the server's policies decide. Raises InvalidRequest."""
    check_numbers(versions=versions, bytes_max=bytes_max)
    patterns = make_tags(tags)
    if versions is None and age is None and bytes_max is None:
        if patterns != _EVERY_TAG:
            raise InvalidRequest(
                "tags say what is kept beside versions, age or bytes_max; one of these has to be given", reason="tags"
            )
        return None
    return m.Retain(versions, _seconds(age), bytes_max, patterns)


def _seconds(age: timedelta | float | None) -> int | None:
    """Whole seconds, rather too many: more is kept then."""
    if age is None:
        return None
    seconds = age.total_seconds() if isinstance(age, timedelta) else age
    if type(seconds) not in (int, float) or not math.isfinite(seconds) or seconds < 0:
        raise InvalidRequest(f"age is {age!r}, which is neither a duration nor seconds", reason="age")
    return math.ceil(seconds)
