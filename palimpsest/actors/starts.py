"""Where a subscription starts: after a cursor, at a version or a time, or now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from palimpsest.actors.cursors import position_after
from palimpsest.actors.reading import Reader
from palimpsest.actors.tail import Tail
from palimpsest.errors import DocumentNotFound, InvalidRequest
from palimpsest.protocol.messages import Document, Get, Subscribe
from palimpsest.state.lens import Lens
from palimpsest.state.names import Pattern

POLICIES = ("all", "latest", "disconnect")


def check_start(message: Subscribe, pattern: Pattern) -> None:
    """Raises InvalidRequest."""
    starts = (message.resume_after, message.from_version, message.from_time, message.snapshot or None)
    if starts.count(None) < len(starts) - 1:
        raise InvalidRequest(
            "a cursor, a snapshot, a version or a time: one of them says where it starts", reason="start"
        )
    if message.from_version is not None and pattern.exact is None:
        raise InvalidRequest(
            f"{pattern.text!r} is not one document, which a version could be of", reason="from_version"
        )
    if message.from_version is not None and message.from_version < 1:
        raise InvalidRequest(f"there is no version {message.from_version}", reason="from_version")
    if message.policy not in POLICIES:
        raise InvalidRequest(f"{message.policy!r} is none of the policies {', '.join(POLICIES)}", reason="policy")
    if message.policy == "latest" and not message.values:
        raise InvalidRequest("where changes are left out, the others have to come with whole values", reason="policy")


def is_to_be_found(message: Subscribe) -> bool:
    """Whether it takes a look at the log to know where it starts."""
    return message.from_version is not None or message.from_time is not None


class Starts:
    """ask: reads a document, as anybody would. newest: the durable version of a document branch that is awake, 0 of one that is not."""

    def __init__(
        self,
        reader: Reader,
        tail: Tail,
        epoch: str,
        ask: Callable[[Get], Awaitable[Document]],
        newest: Callable[[str, str], int],
    ) -> None:
        self._reader = reader
        self._tail = tail
        self._epoch = epoch
        self._ask = ask
        self._newest = newest

    def known(self, message: Subscribe, lens: Lens | None) -> int:
        """The first position of what is asked for, without a look at the log: after its cursor, or now. Raises CursorInvalid or ViewChanged."""
        if message.resume_after is None:
            return self._tail.end
        return position_after(message.resume_after, self._epoch, lens, self._tail.end)

    async def find(self, message: Subscribe) -> int:
        """The first position of what is asked for, without a snapshot. Raises CursorInvalid, DocumentNotFound, VersionNotFound or
        VersionPruned."""
        if not is_to_be_found(message):
            return self.known(message, None)
        if message.from_time is not None:
            return await self._reader.position_at(message.from_time)
        assert message.from_version is not None
        name, branch, version = message.pattern, message.branch, message.from_version
        try:
            newest = (await self._ask(Get(0, name, branch))).version
        except DocumentNotFound as error:
            if error.version is None:
                raise
            newest = error.version
        # Others may have become durable behind that one. From here to the end of the log there is no step in between.
        newest = max(newest, self._newest(name, branch))
        if version == newest + 1:
            return self._tail.end
        return await self._reader.position_of(name, branch, version, newest)
