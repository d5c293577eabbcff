"""The commands of branches and merges: what a transaction is made of that begins a branch, ends one, or joins two.

Some make no event: they hold an actor to what the others were prepared with, or prepare it for the next of them. All are prepared from
durable versions, and raise Moved where one of these is not the newest any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from palimpsest.actors.commands import Command
from palimpsest.actors.stream import OP_OVERHEAD_BYTES, Stream, check_meta
from palimpsest.state.branching import Moved, Step, step_ops
from palimpsest.state.lines import Line
from palimpsest.state.ops import Op, Set, encode_delta
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import encode_value, freeze
from palimpsest.state.working import Working, apply_delta
from palimpsest.storage.events import NO_DELTA, Event
from palimpsest.words import Kind, Node, Parents

if TYPE_CHECKING:
    from palimpsest.actors.document import DocumentActor

_CREATE, _UPDATE, _DELETE = int(Kind.CREATE), int(Kind.UPDATE), int(Kind.DELETE)


class Guard(Command, frozen=True):
    """Makes nothing: the newest version is `expect`; None: whichever it is, it stays until all is decided. told: whoever asked named it,
    and is told of a VersionConflict."""

    told: bool = False


class Begin(Command, frozen=True):
    """Makes nothing: the branch begins here. value: the base as a stream, as of the line's base, None where there is none; expect: the
    newest version that was made under the branch's name."""

    line: Line | None = None
    value: Stream | None = None


class End(Command, frozen=True):
    """Makes nothing: the branch is deleted."""


class Take(Command, frozen=True):
    """Makes nothing: the next version takes in these."""

    merged: tuple[Node, ...] = ()


class Integrate(Command, frozen=True):
    """The value becomes this one, by these ops; NOTHING: the document is deleted."""

    value: Any = NOTHING
    ops: Sequence[Op] = ()
    merged: tuple[Node, ...] = ()


class Inscribe(Command, frozen=True):
    """To the document's record."""

    steps: tuple[Step, ...] = ()


SILENT_COMMANDS = frozenset((Guard, Begin, End, Take))
"""They make no event."""


# --- deciding --------------------------------------------------------------------------------------------------------


def _guard(stream: Stream, command: Guard, origin: str, now: int, more: int = 0) -> None:
    if command.refusal is not None:
        raise command.refusal
    if command.expect is not None and command.expect != stream.version:
        if command.told:
            raise stream._conflict(command.expect)
        raise _moved(stream)


def _begin(actor: DocumentActor, command: Begin, origin: str, now: int, more: int = 0) -> None:
    line = command.line
    assert line is not None
    if actor.line is not None or command.expect != actor.newest_own:
        raise _moved(actor)
    actor.begin_line(line, command.value)


def _end(actor: DocumentActor, command: End, origin: str, now: int, more: int = 0) -> None:
    if command.expect != actor.version or actor.line is None:
        raise _moved(actor)
    actor.end_line()


def _take(stream: Stream, command: Take, origin: str, now: int, more: int = 0) -> None:
    stream.due = Parents(None if stream.due is None else stream.due.base, command.merged)


def _integrate(stream: Stream, command: Integrate, origin: str, now: int, more: int = 0) -> Event:
    if command.expect is not None and command.expect != stream.version:
        raise _moved(stream)
    if command.meta is not None:
        check_meta(command.meta, stream.limits)
    if command.merged:
        _take(stream, Take(command.id, command.document, command.branch, merged=command.merged), origin, now)
    value = command.value
    if value is NOTHING:
        stream._forget_value()
        stream.delta_bytes = 0
        return stream._advance(_DELETE, NO_DELTA, origin, command.id, command.meta, command.key, now, more)
    kind = _UPDATE if stream.exists else _CREATE
    delta = Raw(encode_delta(command.ops if stream.exists else [Set((), value)]))
    bound = (stream.bytes_bound if stream.exists else 0) + len(delta) + OP_OVERHEAD_BYTES * len(command.ops)
    if bound > stream.limits.document_bytes_max:  # only then is it looked at as a whole
        bound = len(encode_value(value))
        stream._check_size(bound)
    stream.working, stream.encoded, stream.bytes_bound = Working(freeze(value)), None, bound
    stream.exists = True
    stream.delta_bytes = len(delta)
    return stream._advance(kind, delta, origin, command.id, command.meta, command.key, now, more)


def _inscribe(stream: Stream, command: Inscribe, origin: str, now: int, more: int = 0) -> Event:
    if command.refusal is not None:
        raise command.refusal
    if command.meta is not None:
        check_meta(command.meta, stream.limits)
    exists = stream.exists
    value = stream.value() if exists else freeze({})
    made: list[Op] = [] if exists else [Set((), {})]
    for step in command.steps:
        ops = step_ops(value, stream.document, step, stream.limits)
        value = apply_delta(value, ops, depth_max=stream.limits.depth_max)
        made += ops
    encoded = encode_value(value)
    stream._check_size(len(encoded))
    delta = Raw(encode_delta(made))
    stream.delta_bytes = len(delta)
    stream.working, stream.encoded, stream.bytes_bound = Working(value), encoded, len(encoded)
    stream.exists = True
    kind = _UPDATE if exists else _CREATE
    return stream._advance(kind, delta, origin, command.id, command.meta, command.key, now, more)


def _moved(stream: Stream) -> Moved:
    return Moved(f"{stream.document!r} has changed on {stream.branch!r} meanwhile, again and again")


DECIDE: dict[type, Callable[..., Event | None]] = {
    Guard: _guard,
    Begin: _begin,
    End: _end,
    Take: _take,
    Integrate: _integrate,
}
"""What may be asked of a branch."""

DECIDE_FOR_RECORDS: dict[type, Callable[..., Event | None]] = {Guard: _guard, Inscribe: _inscribe}
"""What may be asked of a record."""
