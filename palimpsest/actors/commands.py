"""The rarer writes, as commands to a stream: what was asked for, and all that had to be read before it can be decided.

Each is made of a request once what it speaks of is durable, and goes through the mailbox of its stream like any write: a repeat is
recognised there, before anything is decided. `DECIDE` has a pure function for each, as the `decide_...` methods of `Stream`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.actors.stream import Stream, check_meta, ends, sets_all
from palimpsest.errors import (
    Conflict,
    DeltaFailed,
    DocumentExists,
    InvalidRequest,
    LimitExceeded,
    NotWritable,
    PalimpsestError,
    UndoConflict,
    VersionPruned,
)
from palimpsest.protocol.messages import Create, Delete, Entry, Update
from palimpsest.state.conflicts import to_data
from palimpsest.state.diff import diff
from palimpsest.state.lens import Lens
from palimpsest.state.ops import Erase, Op, Replace, Set, check_ops, decode_delta, decode_unchecked, encode_delta
from palimpsest.state.paths import format_path
from palimpsest.state.record import check_record, label_ops, labels_of, prune_ops, pruned
from palimpsest.state.redact import redact
from palimpsest.state.retention import effective_tags, tag_matches
from palimpsest.state.tree import NOTHING
from palimpsest.state.undo import undo
from palimpsest.state.values import Value, check_value, decode_plain, decode_value, encode_value, freeze
from palimpsest.state.working import Working
from palimpsest.storage.events import NO_DELTA, Event
from palimpsest.words import ERASED, RECORD, Kind, Meta, Parents

_CREATE, _UPDATE, _DELETE, _ERASE = int(Kind.CREATE), int(Kind.UPDATE), int(Kind.DELETE), int(Kind.ERASE)


class Command(msgspec.Struct, gc=False, frozen=True):
    """What all have in common. id, repeat, meta, key: of the request. refusal: why it cannot be done, found out on the way;
    raised where it is no repeat."""

    id: int
    document: str
    branch: str
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None
    expect: int | None = None
    refusal: PalimpsestError | None = None


class Become(Command, frozen=True):
    """The value becomes this one, encoded: of a `Revert`."""

    value: bytes = b"\xc0"


class TakeBack(Command, frozen=True):
    """What a version did is taken back: of an `Undo`. before, after: the values around it, frozen, or NOTHING; delta: its ops."""

    version: int = 0
    before: Any = NOTHING
    delta: tuple[Op, ...] = ()
    after: Any = NOTHING


class Remove(Command, frozen=True):
    """What is at path goes, and is to be erased from all before: of an `Erase`."""

    path: tuple[str | int, ...] = ()


class Adopt(Command, frozen=True):
    """A version as it was elsewhere: of an `Import`."""

    entry: Entry | None = None


class Seen(Command, frozen=True):
    """An `Update`, `Create` or `Delete` in the words of a view. lens: what the view is."""

    lens: Any = None
    request: Any = None


def seen(lens: Lens, request: Update | Create | Delete) -> Seen:
    expect = None if type(request) is Create else request.expect  # type: ignore[union-attr]
    common = (request.id, request.document, request.branch, request.repeat, request.meta, request.key, expect)
    return Seen(*common, None, lens, request)


class Note(Command, frozen=True):
    """To the document's record: a version of a branch is given tags, or loses some; of a `Label`. made_with: the tags that it
    had from the start. seen: up to where the branch was pruned when the version was found to be there."""

    of: str = ""
    version: int = 0
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    made_with: tuple[str, ...] = ()
    seen: int = 0


class Cut(Command, frozen=True):
    """To the document's record: versions of a branch up to `until` are not kept any more, but for those with such tags."""

    of: str = ""
    until: int = 0
    tags: tuple[str, ...] = ()


# --- deciding --------------------------------------------------------------------------------------------------------


def _become(stream: Stream, command: Become, origin: str, now: int, more: int = 0) -> Event:
    _check(stream, command)
    target = decode_value(command.value)
    if not stream.exists:
        return _make(stream, command, _CREATE, target, [Set((), target)], origin, now, more)
    return _make(stream, command, _UPDATE, target, diff(stream.value(), target), origin, now, more)


def _take_back(stream: Stream, command: TakeBack, origin: str, now: int, more: int = 0) -> Event:
    _check(stream, command)
    current = stream.value() if stream.exists else NOTHING
    ops, conflicts = undo(command.before, command.delta, command.after, current)
    if conflicts:
        places = ", ".join(sorted({format_path(conflict.path) or "the root" for conflict in conflicts})[:5])
        raise UndoConflict(
            f"version {command.version} of {stream.document!r} cannot be undone: what it did was changed since at {places}",
            document=stream.document,
            branch=stream.branch,
            version=command.version,
            conflicts=[to_data(conflict) for conflict in conflicts],
        )
    if current is NOTHING:
        if command.before is NOTHING:
            raise stream._not_found()
        return _make(stream, command, _CREATE, command.before, [Set((), command.before)], origin, now, more)
    if command.before is NOTHING:  # it made the document, which is as it was made
        stream._forget_value()
        stream.delta_bytes = 0
        return stream._advance(_DELETE, NO_DELTA, origin, command.id, command.meta, command.key, now, more)
    working = Working(current)
    working.apply(ops, depth_max=stream.limits.depth_max)
    return _make(stream, command, _UPDATE, working.freeze(), ops, origin, now, more)


def _written(stream: Stream, lens: Lens, value: Any, ops: Sequence[Op]) -> list[Op]:
    try:
        return lens.written(value, ops)
    except NotWritable as error:
        raise NotWritable(error.message, **{**error.data, "document": stream.document}) from None


def _seen(stream: Stream, command: Seen, origin: str, now: int, more: int = 0) -> Event:
    """What fails is told as the view has it, so that nothing can be learnt from it that the view does not show."""
    request, lens, limits = command.request, command.lens, stream.limits
    if type(request) is Create:
        if stream.exists:
            raise DocumentExists(
                f"{stream.document!r} exists already, at version {stream.version}",
                document=stream.document,
                branch=stream.branch,
                version=stream.version,
            )
        value = decode_plain(request.value)
        check_value(value, depth_max=limits.depth_max)
        (made,) = _written(stream, lens, NOTHING, [Set((), value)])
        assert type(made) is Set
        request = msgspec.structs.replace(request, value=Raw(encode_value(made.value)))
        return stream.decide_create(request, origin, now, more)
    if not stream.exists:
        raise stream._not_found()
    if command.expect is not None and command.expect != stream.version:
        raise stream._conflict(command.expect)
    if type(request) is Delete:
        _written(stream, lens, stream.value(), [Replace((), None)])
        return stream.decide_delete(request, origin, now, more)
    ops = decode_unchecked(request.delta, limits)
    check_ops(ops, depth_max=limits.depth_max)
    delta = Raw(encode_delta(_written(stream, lens, stream.value(), ops)))
    try:
        return stream.decide_update(msgspec.structs.replace(request, delta=delta), origin, now, more)
    except DeltaFailed:
        raise NotWritable(
            f"{stream.document!r} cannot be written so through {lens.name!r}",
            action="write",
            document=stream.document,
            perspective=lens.name,
            path="",
        ) from None
    except LimitExceeded as error:
        raise LimitExceeded(
            f"{stream.document!r} would be too large", limit=error.limit, maximum=error.maximum, actual=None
        ) from None


def _remove(stream: Stream, command: Remove, origin: str, now: int, more: int = 0) -> Event:
    """A document that is deleted can be erased from, and erased, too: its history is there."""
    _check(stream, command)
    if not stream.version:
        raise stream._not_found()
    said = command.meta or Meta()
    tags = tuple(sorted({*said.tags, ERASED}))
    command = msgspec.structs.replace(command, meta=msgspec.structs.replace(said, tags=tags))
    if not command.path:
        stream._forget_value()
        delta = Raw(encode_delta([Erase(())]))
        stream.delta_bytes = len(delta)
        return stream._advance(_ERASE, delta, origin, command.id, command.meta, command.key, now, more)
    if not stream.exists:
        raise InvalidRequest(
            f"{stream.document!r} is deleted: erase the whole document, or create it again to erase one path",
            reason="deleted",
        )
    value = redact(stream.value(), command.path)
    return _make(stream, command, _ERASE, value, [Erase(command.path)], origin, now, more)


def _adopt(stream: Stream, command: Adopt, origin: str, now: int, more: int = 0) -> Event:
    entry = command.entry
    assert entry is not None
    if command.expect != stream.version:
        raise Conflict(
            f"version {entry.version} of {stream.document!r} was to follow version {command.expect}, which is not the newest"
        )
    ops = _check_entry(stream, entry)
    due = _due(stream, entry)
    if ends(entry.kind, ops):
        stream._forget_value()
    else:
        _apply_entry(stream, entry, ops)
    delta = Raw(encode_delta(ops)) if ops else NO_DELTA
    stream.delta_bytes = len(delta)
    stream.version = entry.version - 1
    stream.due = due
    # Under one number, so that a request of the old place is recognised in the new one.
    return stream._advance(entry.kind, delta, "", 0, entry.meta, entry.request, entry.at, more)


def _due(stream: Stream, entry: Entry) -> Parents | None:
    """What an entry comes from beside the version before it. A branch whose first versions were left out has no base to start from: it
    begins with a whole value. Raises Conflict where the branch starts from elsewhere here."""
    said = entry.parents or Parents()
    base = None if stream.due is None or entry.version != stream.version + 1 else stream.due.base
    if said.base not in (None, base):
        raise Conflict(
            f"{stream.branch!r} of {stream.document!r} does not start from version {said.base[1]} of {said.base[0]!r} here"
        )
    return Parents(base, said.merged) if base is not None or said.merged else None


def _note(stream: Stream, command: Note, origin: str, now: int, more: int = 0) -> Event:
    _check(stream, command)
    value = stream.value() if stream.exists else freeze({})
    until, patterns = pruned(value, command.of)
    if command.version <= until != command.seen:  # it was decided to prune it meanwhile
        tags = effective_tags(command.made_with, labels_of(value, command.of, command.version))
        if not tag_matches(patterns, tags):
            raise VersionPruned(
                f"version {command.version} of {command.document!r} is not kept any more",
                document=command.document,
                branch=command.of,
                version=command.version,
                newest=until,
                oldest=until + 1,
            )
    return _record(
        stream, command, label_ops(command.of, command.version, command.add, command.remove), origin, now, more
    )


def _cut(stream: Stream, command: Cut, origin: str, now: int, more: int = 0) -> Event:
    return _record(stream, command, prune_ops(command.of, command.until, command.tags), origin, now, more)


DECIDE: dict[type, Callable[..., Event]] = {
    Become: _become,
    TakeBack: _take_back,
    Remove: _remove,
    Adopt: _adopt,
    Seen: _seen,
}
"""What may be asked of a branch."""

DECIDE_FOR_RECORDS: dict[type, Callable[..., Event]] = {
    Note: _note,
    Cut: _cut,
    Remove: _remove,
    Adopt: _adopt,
}
"""What may be asked of a record."""


# --- inside ----------------------------------------------------------------------------------------------------------


def _check(stream: Stream, command: Command) -> None:
    if command.refusal is not None:
        raise command.refusal
    if command.meta is not None:
        check_meta(command.meta, stream.limits)
    if command.expect is not None and command.expect != stream.version:
        raise stream._conflict(command.expect)


def _make(
    stream: Stream, command: Command, kind: int, value: Value, ops: Sequence[Op], origin: str, now: int, more: int
) -> Event:
    """The stream moves on to value, which ops make of what it is."""
    encoded = encode_value(value)
    stream._check_size(len(encoded))
    delta = Raw(encode_delta(ops))
    stream.delta_bytes = len(delta)
    stream.working, stream.encoded, stream.bytes_bound = Working(value), encoded, len(encoded)
    stream.exists = True
    return stream._advance(kind, delta, origin, command.id, command.meta, command.key, now, more)


def _record(stream: Stream, command: Command, ops: Sequence[Op], origin: str, now: int, more: int) -> Event:
    kind = _UPDATE
    if not stream.exists:
        kind, ops = _CREATE, [Set((), {}), *ops]
    working = Working(stream.value() if stream.exists else None)
    working.apply(list(ops), depth_max=stream.limits.depth_max)
    return _make(stream, command, kind, working.freeze(), ops, origin, now, more)


def _check_entry(stream: Stream, entry: Entry) -> list[Op]:
    """The ops of an entry that may come next. Raises InvalidRequest, InvalidDelta, InvalidValue or LimitExceeded."""
    if entry.kind not in Kind._value2member_map_:
        raise _unfit(stream, entry, f"no kind {entry.kind}")
    if entry.at < stream.at:
        raise _unfit(stream, entry, "it was made before the version before it")
    if entry.request is not None and len(entry.request) > 2 * stream.limits.request_id_characters_max:
        raise _unfit(stream, entry, "its request id is too long")
    if entry.meta is not None:
        check_meta(entry.meta, stream.limits)
    ops = _decode_entry(stream, entry)
    if not sets_all(entry.kind, ops) and (entry.version != stream.version + 1 or not stream.exists):
        raise _unfit(stream, entry, f"the newest here is {stream.version}, and it does not set the whole value")
    return ops


def _decode_entry(stream: Stream, entry: Entry) -> list[Op]:
    if entry.kind == _DELETE:
        return []
    if entry.kind != _ERASE:
        return decode_delta(entry.delta, limits=stream.limits)
    ops = decode_delta(entry.delta)
    if len(ops) != 1 or not (type(ops[0]) is Erase or sets_all(_UPDATE, ops)):
        raise _unfit(stream, entry, "an erasure has one `erase` op")
    return ops


def _apply_entry(stream: Stream, entry: Entry, ops: list[Op]) -> None:
    value = stream.value() if stream.exists and entry.version == stream.version + 1 else None
    working = Working(value)
    applied = working.apply(ops, depth_max=stream.limits.depth_max)
    if working.compiled:
        ops[:] = applied
    made = working.freeze()
    if stream.branch == RECORD:
        check_record(made)
    encoded = encode_value(made)
    stream._check_size(len(encoded))
    stream.working, stream.encoded, stream.bytes_bound, stream.exists = Working(made), encoded, len(encoded), True


def _unfit(stream: Stream, entry: Entry, reason: str) -> InvalidRequest:
    return InvalidRequest(f"version {entry.version} of {stream.document!r} cannot come next: {reason}", reason=reason)
