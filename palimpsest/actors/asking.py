"""Who asks from within: one answer waited for, several gathered into one, and what is said on the way."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from palimpsest.actors.committer import Asker
from palimpsest.errors import DocumentNotFound, InternalError, LimitExceeded, PalimpsestError
from palimpsest.limits import Limits
from palimpsest.logs import get_logger
from palimpsest.protocol.messages import Committed, Document, Documents, Imported, Progress

log = get_logger("palimpsest.actors")

_PROGRESS_SECONDS = 0.2


class Question:
    """Asks from within, for one answer. client: on whose behalf."""

    def __init__(self, client: str = "") -> None:
        self.client = client
        self.answer: object = None
        self.error: PalimpsestError | None = None
        self.answered = anyio.Event()

    async def result(self) -> object:
        """The answer. Raises the error that it was answered with."""
        await self.answered.wait()
        if self.error is not None:
            raise self.error
        return self.answer

    def committed(self, id: int, version: int, at: int) -> None:
        self.reply(Committed(id, version, at))

    def reply(self, message: object) -> None:
        self.answer = message
        self.answered.set()

    def fail(self, id: int, error: PalimpsestError) -> None:
        self.error = error
        self.answered.set()


class Adopting:
    """Asks for versions to be taken over, and answers when all are durable. Ids are versions."""

    def __init__(self, id: int, asker: Asker, count: int) -> None:
        self.client = asker.client
        self._id = id
        self._asker = asker
        self._count = self._missing = count
        self._newest = 0
        self._error: PalimpsestError | None = None

    def committed(self, id: int, version: int, at: int) -> None:
        self._newest = version
        self._one_less()

    def reply(self, message: object) -> None:
        raise AssertionError("no version is taken over twice")

    def fail(self, id: int, error: PalimpsestError) -> None:
        self._error = self._error or error
        self._one_less()

    def _one_less(self) -> None:
        self._missing -= 1
        if self._missing:
            return
        if self._error is not None:
            self._asker.fail(self._id, self._error)
        else:
            self._asker.reply(Imported(self._id, self._newest, self._count))


def slowly(peer: Asker) -> Callable[[Progress], None]:
    """Tells peer how an errand goes, and not too often."""
    told = float("-inf")

    def tell(progress: Progress) -> None:
        nonlocal told
        now = anyio.current_time()
        if now - told >= _PROGRESS_SECONDS:
            told = now
            peer.reply(progress)

    return tell


def internal_error(id: int, error: Exception) -> InternalError:
    log.error("read_failed", request=id, exc_info=error)
    return bug(error)


def bug(error: Exception) -> InternalError:
    """What is said of an error that is none of ours, and is in the log."""
    return InternalError(f"the server failed: {type(error).__name__}; it is logged there")


def as_told(id: int, error: Exception) -> PalimpsestError:
    """The error as whoever asked hears it: one that is none of ours is a bug, which is logged."""
    return error if isinstance(error, PalimpsestError) else internal_error(id, error)


class Gathering:
    """Asks for many documents, and answers when all are there. Ids are places in the list."""

    def __init__(self, id: int, peer: Asker, count: int, limits: Limits) -> None:
        self.client = peer.client
        self._id = id
        self._peer = peer
        self._limits = limits
        self._found: list[Document | None] = [None] * count
        self._missing = count
        self._bytes = 0
        self._error: PalimpsestError | None = None

    def committed(self, id: int, version: int, at: int) -> None:
        raise AssertionError("reads only")

    def reply(self, message: object) -> None:
        assert isinstance(message, Document)
        self._found[message.id] = Document(
            self._id,
            message.document,
            message.branch,
            message.version,
            message.kind,
            message.at,
            message.value,
            message.meta,
        )
        self._bytes += len(message.value)
        self._one_less()

    def fail(self, id: int, error: PalimpsestError) -> None:
        if not isinstance(error, DocumentNotFound):
            self._error = error
        self._one_less()

    def _one_less(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._answer()

    def _answer(self) -> None:
        maximum = self._limits.frame_bytes_max * 3 // 4
        if self._error is None and self._bytes > maximum:
            self._error = LimitExceeded(
                f"these documents are {self._bytes} bytes together; ask for fewer at once",
                limit="frame_bytes_max",
                maximum=maximum,
                actual=self._bytes,
            )
        if self._error is not None:
            self._peer.fail(self._id, self._error)
        else:
            self._peer.reply(Documents(self._id, tuple(self._found)))
