"""Values as instances of a caller's types."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from palimpsest.errors import InvalidRequest, InvalidValue
from palimpsest.state.paths import format_path

T = TypeVar("T")

_STEP = re.compile(r"\[([0-9]+)\]|\[\.\.\.\]|\.?([^.\[\]]+)")
"""Of a place as msgspec writes it, such as `$.items[0].names[...]`, where `[...]` is some key."""


def decode_as(encoded: Raw, kind: type[T], document: str) -> T:
    """The value as an instance of kind: a `msgspec.Struct`, a dataclass, a TypedDict, `dict[str, int]`, or whatever msgspec knows.

    Raises InvalidValue with the path where the value does not fit, and InvalidRequest where kind is no type that values can have.
    """
    known: Any = kind
    try:
        value: T = _decoder(known).decode(encoded)
    except msgspec.ValidationError as error:
        reason, path = reason_and_path(error)
        at = f" at {path}" if path else ""
        name = getattr(kind, "__name__", repr(kind))
        raise InvalidValue(f"{document!r} is no {name}{at}: {reason}", path=path, reason=reason) from error
    except TypeError as error:
        raise InvalidRequest(f"as_ is {kind!r}, which is no type for a value: {error}", reason="as_") from error
    return value


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def reason_and_path(error: msgspec.ValidationError) -> tuple[str, str]:
    """What msgspec says is wrong, and where, in the written form of paths; `*` is some key of a map."""
    reason, _, place = str(error).partition(" - at `$")
    steps = _STEP.finditer(place.removesuffix("`"))
    return reason, format_path(tuple([int(step[1]) if step[1] else step[2] or "*" for step in steps]))
