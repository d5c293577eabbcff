"""The parts of a transaction: what becomes of each document, on which branch, and what the whole depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Raw

from palimpsest.client.places import AnyNode, to_node
from palimpsest.client.requests import (
    NIL,
    Create,
    check_name,
    check_numbers,
    check_texts,
    encode_changes,
    encode_new_value,
)
from palimpsest.errors import InvalidRequest
from palimpsest.protocol import messages as m
from palimpsest.state.delta import DELETE
from palimpsest.words import Kind, Node

Target: TypeAlias = str | tuple[str, str]
"""What a transaction is about: a document, on the branch that the transaction names, or a document and a branch of
it."""

Key = TypeVar("Key", bound=Sequence[str])
"""A `Target`, as type checkers infer it: of a mapping that has both kinds of keys, they say that its keys are sequences
of text."""


class Join(msgspec.Struct, frozen=True):
    """In a transaction: a change, and the versions that it comes from beside the one before it.

    changes: what would stand there alone. base: where the document does not have the branch, the branch is made from
    this version. merged: the versions that this one takes in, as a merge that was done elsewhere does; a later merge
    knows of it. Each is a branch and a version, as a tuple or as `"branch:version"`.
    """

    changes: Any
    base: AnyNode | None = None
    merged: Sequence[AnyNode] = ()


class Parts(msgspec.Struct, frozen=True):
    """Of a transaction: what it changes, and what it depends on beside that."""

    changes: tuple[m.Part, ...]
    """In the order of the mapping."""
    guards: tuple[m.Part, ...]

    @property
    def all(self) -> tuple[m.Part, ...]:
        return self.changes + self.guards


def make_parts(changes: Mapping[Any, Any], branch: str, expect: Mapping[Any, int]) -> Parts:
    """branch: of what names none itself. What is expected of something that is not changed is a guard. Raises
    UsageError."""
    wanted = _by_target(expect, branch, "expect")
    changed = _by_target(changes, branch, "changes")
    return Parts(
        tuple([_make_part(target, change, wanted.get(target)) for target, change in changed.items()]),
        tuple([_make_guard(target, version) for target, version in wanted.items() if target not in changed]),
    )


def to_target(key: Any, branch: str) -> tuple[str, str]:
    """The document and the branch that are meant. Raises InvalidName or InvalidRequest."""
    if not isinstance(key, tuple):
        check_name(key)
        return key, branch
    if len(key) != 2:
        raise InvalidRequest(f"{key!r} is not a document and a branch of it", reason="document")
    check_name(key[0])
    check_texts(branch=key[1])
    if key[1] is None:
        raise InvalidRequest(f"{key!r} names no branch", reason="branch")
    return key


def _by_target(found: Mapping[Any, Any], branch: str, name: str) -> dict[tuple[str, str], Any]:
    targets = {to_target(key, branch): item for key, item in found.items()}
    if len(targets) < len(found):
        raise InvalidRequest(f"{name} names the same branch of the same document twice", reason=name)
    return targets


def _make_part(target: tuple[str, str], change: Any, expect: int | None) -> m.Part:
    check_numbers(expect=expect)
    document, branch = target
    base: Node | None = None
    merged: tuple[Node, ...] = ()
    if isinstance(change, Join):
        base = None if change.base is None else to_node(change.base, "base")
        merged = _nodes(change.merged)
        change = change.changes
    kind, body = _encode_change(change)
    return m.Part(int(kind), document, body, branch, expect, base, merged)


def _make_guard(target: tuple[str, str], expect: int | None) -> m.Part:
    document, branch = target
    if expect is None:
        raise InvalidRequest(f"expect names {document!r}, which is not changed, and no version", reason="expect")
    check_numbers(expect=expect)
    return m.Part(m.GUARD, document, NIL, branch, expect)


def _encode_change(change: Any) -> tuple[Kind, Raw]:
    if change is DELETE:
        return Kind.DELETE, NIL
    if isinstance(change, Create):
        return Kind.CREATE, encode_new_value(change.value)
    return Kind.UPDATE, encode_changes(change)


def _nodes(merged: Iterable[AnyNode]) -> tuple[Node, ...]:
    if isinstance(merged, str):
        raise InvalidRequest(f"merged is a list of versions; {merged!r} is one: write [{merged!r}]", reason="merged")
    return tuple([to_node(which, "merged") for which in merged])
