"""From a caller's arguments to messages. What is wrong with them is said here, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

from palimpsest.errors import InvalidName, InvalidRequest
from palimpsest.state.delta import AnyPath, Delta
from palimpsest.state.ops import encode_delta
from palimpsest.state.paths import Path, check_path, parse_path
from palimpsest.state.values import check_value, encode_value
from palimpsest.words import MAIN, Meta

NIL: Final = Raw(b"\xc0")


class Create(msgspec.Struct, frozen=True):
    """In a transaction: the document is created with this value."""

    value: Any


Changes: TypeAlias = Mapping[Any, Any] | Delta
"""What `update` takes: a delta, or a mapping from paths to values and markers."""


def encode_changes(changes: Changes) -> Raw:
    """Raises InvalidPath, InvalidValue or InvalidDelta."""
    if isinstance(changes, Delta):
        return Raw(encode_delta(changes.ops))
    if type(changes) is not dict and not isinstance(changes, Mapping):
        raise InvalidRequest(f"an update is a mapping or a Delta, not a {type(changes).__name__}", reason="delta")
    return Raw(encode_delta(Delta.from_mapping(changes).ops))


def encode_new_value(value: Any) -> Raw:
    """Raises InvalidValue, or LimitExceeded where it nests deeper than the default depth_max."""
    check_value(value)
    return Raw(encode_value(value))


def make_meta(by: str | None, description: str | None, tags: Iterable[str]) -> Meta | None:
    """None where nothing is said. Raises InvalidRequest for what is no text."""
    if by is None and description is None and not tags:
        return None
    check_texts(by=by, description=description)
    return Meta(by, description, make_tags(tags))


def make_tags(tags: Iterable[str], name: str = "tags") -> tuple[str, ...]:
    """Sorted, each once. name: of the argument. Raises InvalidRequest for what is no text, and for a single one."""
    if isinstance(tags, str):
        raise InvalidRequest(f"{name} is a set of words; {tags!r} is one: write {{{tags!r}}}", reason=name)
    words = set(tags)
    for word in words:
        if not isinstance(word, str):
            raise InvalidRequest(f"{name} are text, not a {type(word).__name__}", reason=name)
    return tuple(sorted(words))


def make_path(path: AnyPath) -> Path:
    """Raises InvalidPath."""
    return parse_path(path) if isinstance(path, str) else check_path(path)


def check(document: str, branch: str, request_id: str | None = None) -> None:
    """That a message can be made of them. The usual case takes three looks."""
    if type(document) is not str:
        check_name(document)
    if branch is not MAIN or request_id is not None:
        check_texts(branch=branch, request_id=request_id)


def check_name(document: str) -> None:
    """Only that it is text: the rules of names are the server's to hold. Raises InvalidName."""
    if not isinstance(document, str):
        raise InvalidName(
            f"a document's name is a str, not a {type(document).__name__}", name=repr(document), reason="type"
        )


def check_texts(**texts: str | None) -> None:
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise InvalidRequest(f"{name} is a str, not a {type(text).__name__}", reason=name)


def check_seconds(seconds: float, name: str) -> float:
    """As a float. Raises InvalidRequest for what is no finite number from 0 on."""
    if type(seconds) not in (int, float) or not 0 <= seconds < float("inf"):
        raise InvalidRequest(f"{name} is {seconds!r}, which is no number of seconds", reason=name)
    return float(seconds)


def check_numbers(**numbers: int | None) -> None:
    """What goes into a message as an Integer. Raises InvalidRequest."""
    for name, number in numbers.items():
        if number is not None and (type(number) is not int or not -(2**63) <= number < 2**63):
            raise InvalidRequest(f"{name} is {number!r}, which is no version or count", reason=name)
