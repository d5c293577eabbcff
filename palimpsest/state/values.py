"""Values: what a document is made of, in three forms.

*Plain* is Python's own lists and dicts. *Frozen* is the same in pyrsistent's vectors and maps, which never change and share
what they have in common. *Encoded* is msgpack with sorted keys: the same value always gives the same bytes. Scalars are
the same in all. `check_value` is the door: what has passed it can be frozen, encoded and compared without a further look.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from types import NoneType
from typing import Any, TypeAlias

import msgspec
from pyrsistent import PMap, PVector, pmap, pvector

from palimpsest.errors import InvalidValue, LimitExceeded
from palimpsest.state.paths import Path, format_path

Value: TypeAlias = "bool | int | float | str | PMap[str, Value] | PVector[Value] | None"
"""A frozen value."""
Plain: TypeAlias = "bool | int | float | str | dict[str, Plain] | list[Plain] | None"

INT_MIN = -(2**63)
INT_MAX = 2**64 - 1
DEPTH_MAX = 64

FROZEN_MAP: Any = PMap
FROZEN_LIST: Any = type(pvector())
"""Any: so that a type checker does not take a test for one of these as a narrowing. The vector's class depends on whether pyrsistent's C extension is there."""
PLAIN_CONTAINERS = frozenset((dict, list))
MAPS = frozenset((dict, FROZEN_MAP))
LISTS = frozenset((list, FROZEN_LIST))
CONTAINERS = MAPS | LISTS


def check_value(value: object, *, depth_max: int = DEPTH_MAX, depth: int = 0) -> None:
    """Returns if value is a value of ours: plain, frozen, or a mixture.

    depth: how many containers it sits in already. Raises InvalidValue with the path inside value and the reason, or
    LimitExceeded where containers are nested deeper than depth_max. Types are taken exactly: an enum is not an int.
    """
    level: list[Any] = [[value]]
    depth -= 1
    while level:
        deeper: list[Any] = []
        for container in level:
            if type(container) is FROZEN_MAP:
                container = dict(container.iteritems())
            if type(container) is dict:
                for key in container:
                    if type(key) is not str or not (key.isascii() or _is_text(key)):
                        raise _refusal(value)
                container = container.values()
            for item in container:
                kind = type(item)
                if kind is str:
                    if not (item.isascii() or _is_text(item)):
                        raise _refusal(value)
                elif kind is int:
                    if not INT_MIN <= item <= INT_MAX:
                        raise _refusal(value)
                elif kind is float:
                    if not isfinite(item):
                        raise _refusal(value)
                elif kind in CONTAINERS:
                    deeper.append(item)
                elif item is not None and kind is not bool:
                    raise _refusal(value)
        level = deeper
        depth += 1
        if level and depth >= depth_max:
            raise too_deep(depth + 1, depth_max)


def too_deep(depth: int, depth_max: int) -> LimitExceeded:
    """depth: what was met, or a part of it."""
    return LimitExceeded(
        f"containers nested {depth} deep; depth_max is {depth_max}",
        limit="depth_max",
        maximum=depth_max,
        actual=depth,
    )


def depth_of(value: object) -> int:
    """How deep containers are nested: 0 for a scalar, 2 for `[[]]`. value has passed the door."""
    depth = 0
    level = [value] if type(value) in CONTAINERS else []
    while level:
        depth += 1
        level = [item for container in level for item in _items(container) if type(item) in CONTAINERS]
    return depth


def freeze(plain: Any) -> Value:
    """The frozen form. plain has passed the door; what is frozen already is taken as it is."""
    kind = type(plain)
    if kind is dict:
        return pmap({key: freeze(item) if type(item) in PLAIN_CONTAINERS else item for key, item in plain.items()})
    if kind is list:
        return pvector([freeze(item) if type(item) in PLAIN_CONTAINERS else item for item in plain])
    return plain  # type: ignore[no-any-return]


def thaw(value: Any) -> Plain:
    """A plain copy, all the way down: the caller may change it."""
    kind = type(value)
    if kind in MAPS:
        items = value.items() if kind is dict else value.iteritems()
        return {key: thaw(item) if type(item) in CONTAINERS else item for key, item in items}
    if kind in LISTS:
        return [thaw(item) if type(item) in CONTAINERS else item for item in value]
    return value  # type: ignore[no-any-return]


def equal(a: Any, b: Any) -> bool:
    """JSON equality, whatever the forms: `1` equals `1.0`, and `true` equals neither."""
    kind, other = type(a), type(b)
    if kind in MAPS:
        if other not in MAPS or len(a) != len(b):
            return False
        b = as_dict(b)
        return all(key in b and equal(item, b[key]) for key, item in as_dict(a).items())
    if kind in LISTS:
        return other in LISTS and len(a) == len(b) and all(map(equal, a, b))
    if kind is bool or other is bool:
        return a is b
    return other not in CONTAINERS and bool(a == b)


def as_dict(value: Any) -> dict[str, Any]:
    """A map's items as a dict that is not to be changed."""
    return value if type(value) is dict else dict(value.iteritems())


def describe(value: object) -> str:
    """What kind of value it is, for a message: `a map`, `a string`; never the value itself."""
    kind = type(value)
    if kind in MAPS:
        return "a map"
    return "a list" if kind in LISTS else _KINDS[kind]


_KINDS = {str: "a string", int: "a number", float: "a number", bool: "a boolean", NoneType: "null"}


def encode_frozen(value: object) -> Any:
    """What msgspec is to encode in place of a frozen container."""
    if type(value) is FROZEN_MAP:
        return dict(value.iteritems())  # type: ignore[attr-defined]
    if type(value) is FROZEN_LIST:
        return value.tolist()  # type: ignore[attr-defined]
    raise InvalidValue(_wrong_type(value), path="", reason=_wrong_type(value))


_encoder = msgspec.msgpack.Encoder(order="deterministic", enc_hook=encode_frozen)
_decoder = msgspec.msgpack.Decoder()


def encode_value(value: object) -> bytes:
    """Canonical msgpack. value has passed the door; plain, frozen, or a mixture."""
    return _encoder.encode(value)


def decode_value(data: bytes | msgspec.Raw) -> Value:
    """The frozen value that `encode_value` was called on. Decodes only: what came from outside has yet to pass the door."""
    return freeze(decode_plain(data))


def decode_plain(data: bytes | msgspec.Raw) -> Any:
    """As `decode_value`, plain. Raises InvalidValue where data is not one msgpack object."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        reason = "it nests too deep" if isinstance(error, RecursionError) else str(error)
        raise InvalidValue(f"a value that does not decode: {reason}", path="", reason=reason) from error


def _items(container: Any) -> Any:
    kind = type(container)
    if kind is dict:
        return container.values()
    return container.itervalues() if kind is FROZEN_MAP else container


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusal(value: object) -> InvalidValue:
    """The error for the first thing in value that is not ours. There is one."""
    for path, item in _walk(value):
        reason = _why_not(item)
        if reason is not None:
            where = format_path(path)
            return InvalidValue(f"not a value: {where or 'the root'}: {reason}", path=where, reason=reason)
    raise AssertionError("nothing to refuse")


def _walk(value: object) -> Iterator[tuple[Path, Any]]:
    """value and everything in it, level by level, as the door meets it."""
    level: list[tuple[Path, Any]] = [((), value)]
    while level:
        yield from level
        level = [
            ((*path, step), item)
            for path, container in level
            if type(container) in CONTAINERS
            for step, item in _steps(container)
        ]


def _steps(container: Any) -> Any:
    return as_dict(container).items() if type(container) in MAPS else enumerate(container)


def _why_not(item: Any) -> str | None:
    kind = type(item)
    if kind in MAPS:
        odd = next((key for key in as_dict(item) if type(key) is not str), None)
        if odd is not None or None in as_dict(item):
            return f"a map has a key of type {type(odd).__name__}; keys are str"
        return None if all(map(_is_text, as_dict(item))) else "a map has a key with half of a surrogate pair"
    if kind is str:
        return None if _is_text(item) else "a string has half of a surrogate pair, which is not text"
    if kind is int:
        return None if INT_MIN <= item <= INT_MAX else "an integer lies outside of -2^63 to 2^64-1"
    if kind is float:
        return None if isfinite(item) else f"a float that is {item} and not finite"
    return None if kind in _KINDS or kind in CONTAINERS else _wrong_type(item)


def _wrong_type(value: object) -> str:
    return f"a {type(value).__name__} is not a JSON value"
