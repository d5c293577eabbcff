"""One question, one answer: what the rarer words of the client have in common. The usual ones spell it out, to be fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from palimpsest.client.results import Version
from palimpsest.client.session import Session
from palimpsest.client.viewing import replaced
from palimpsest.errors import UnexpectedMessage
from palimpsest.protocol import messages as m
from palimpsest.words import Kind, Meta

Answer = TypeVar("Answer", bound=m.Message)

OnProgress = Callable[[int, int], object]
"""Called with what is done, and of how much: 0 where that is not known."""

KINDS = {int(kind): kind for kind in Kind}


async def ask(session: Session, kind: type[Answer], message: m.Message) -> Answer:
    """The answer, of that kind. message: its id does not matter; it is given one. Raises what the server answers, and LinkError."""
    if session.blocked:
        await session.room()
    return answered(kind, await session.ask(with_id(session, message)))


async def ask_patiently(
    session: Session, kind: type[Answer], message: m.Message, on_progress: OnProgress | None = None
) -> Answer:
    """As `ask`, for what may take long: given up once nothing at all has been heard of the server for timeout_seconds."""
    if session.blocked:
        await session.room()
    return answered(kind, await session.ask_patiently(with_id(session, message), on_progress))


def with_id(session: Session, message: m.Message) -> m.Message:
    given: m.Message = replaced(message, id=session.next_id())
    return given


def answered(kind: type[Answer], answer: object) -> Answer:
    """Raises UnexpectedMessage where the server answered with something else."""
    if not isinstance(answer, kind):
        name = type(answer).__name__
        raise UnexpectedMessage(f"the server answered with {name} where {kind.__name__} was due", kind=name)
    return answer


def made_version(
    session: Session,
    document: str,
    branch: str,
    kind: Kind,
    answer: object,
    meta: Meta | None,
    request_id: str | None,
) -> Version:
    """The version that a write made. Raises UnexpectedMessage where the answer is not that of a write."""
    if type(answer) is not m.Committed:
        answer = answered(m.Committed, answer)
    request = request_id if request_id is not None else f"{session.client}:{answer.id}"
    return Version(document, branch, answer.version, kind, answer.at, meta, request, answer.repeat)


def entry_version(document: str, branch: str, entry: m.Entry, *, with_delta: bool = True) -> Version:
    """branch: that was asked about; the version's own is in the entry, where it is another."""
    return Version(
        document,
        entry.branch or branch,
        entry.version,
        KINDS[entry.kind],
        entry.at,
        entry.meta,
        entry.request,
        encoded_delta=entry.delta if with_delta else None,
        parents=entry.parents,
    )


def following(answer: m.Versions, *, newest_first: bool) -> int | None:
    """The version that the next page of a history begins with; None: there is none. Servers of the first release do not say."""
    if not answer.more or not (answer.next or answer.entries):
        return None
    return answer.next or answer.entries[-1].version + (-1 if newest_first else 1)
