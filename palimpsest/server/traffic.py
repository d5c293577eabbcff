"""What came in and went out over all connections of a server, since its start."""

from __future__ import annotations

from collections.abc import Iterable

from palimpsest.protocol.messages import Message, Through


class Traffic:
    """Counted once for each read, each write, and each run of requests of one kind in a frame: counting every message by itself takes several
    percent of what a read takes."""

    def __init__(self) -> None:
        self.accepted = 0
        """Connections."""
        self.received_bytes = 0
        self.sent_bytes = 0
        """Before encryption, if there is any; so for what was received."""
        self.requests: dict[type, int] = {}
        """By the type of message."""
        self.refusals: dict[str, int] = {}
        """Requests that failed, and connections that the server ended, by the code of the error."""

    def came(self, kind: type, count: int) -> None:
        """So many requests of this kind."""
        self.requests[kind] = self.requests.get(kind, 0) + count

    def unwrap(self, messages: Iterable[Message]) -> None:
        """What was asked through a perspective counts as what it is. messages: among them are all that came since this was called last."""
        del self.requests[Through]
        for message in messages:
            if type(message) is Through:
                self.came(type(message.request), 1)

    def refused(self, code: str) -> None:
        self.refusals[code] = self.refusals.get(code, 0) + 1

    def by_kind(self) -> dict[str, int]:
        """Requests by the name of their message, in the order of names."""
        return dict(sorted((kind.__name__, count) for kind, count in self.requests.items()))
