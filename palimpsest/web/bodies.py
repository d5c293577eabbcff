"""Bodies of requests: read within bounds, and decoded as what the operation takes.

JSON is taken more strictly than by most: what would mean one thing here and another there is refused, as keys that are there
twice, halves of surrogate pairs, numbers beyond what a value may be, and what is compressed.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from palimpsest.errors import InvalidValue, LimitExceeded
from palimpsest.state.values import DEPTH_MAX, INT_MAX, check_value
from palimpsest.web.budget import Budget
from palimpsest.web.problems import Refused, plain_problem

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_DEPTH_MAX = DEPTH_MAX + 8
"""Of a body; the server says how deep the values inside of it may be."""

_decode = msgspec.json.Decoder().decode


class Body:
    """Of one request, within a budget until it is released."""

    def __init__(self, budget: Budget, bytes_max: int, seconds_max: float) -> None:
        """seconds_max: how long it may take to come."""
        self._budget = budget
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._taken = 0

    async def read(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """headers: by names in lower case. Raises Refused (413, 408, 415), Overloaded, or ClientDisconnect."""
        check_encoding(headers)
        if announced_bytes(headers) > self._bytes_max:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._seconds_max):
                return await self._read(receive)
        except TimeoutError:
            detail = f"the body did not come within {self._seconds_max:g} s"
            raise Refused(plain_problem(408, "Request Timeout", detail)) from None

    async def _read(self, receive: Receive) -> bytes:
        pieces: list[bytes] = []
        has_more = True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece = message.get("body", b"")
            if self._taken + len(piece) > self._bytes_max:
                raise self._too_large()
            self._budget.take(len(piece))
            self._taken += len(piece)
            pieces.append(piece)
            has_more = message.get("more_body", False)
        return b"".join(pieces)

    def release(self) -> None:
        self._budget.give(self._taken)
        self._taken = 0

    def _too_large(self) -> Refused:
        return Refused(plain_problem(413, "Content Too Large", f"a body has at most {self._bytes_max:,} bytes"))


def check_encoding(headers: Mapping[str, str]) -> None:
    """Raises Refused for a body that is compressed: how large it becomes is not known before."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Refused(plain_problem(415, "Unsupported Media Type", "a body is not to be compressed"))


def announced_bytes(headers: Mapping[str, str]) -> int:
    """What `Content-Length` says; 0 where it says nothing."""
    text = headers.get("content-length", "0")
    return int(text[:20]) if text.isascii() and text.isdecimal() else 0


def media_type_of(headers: Mapping[str, str]) -> str:
    """Without parameters, in lower case; "" where there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def decode_as(raw: bytes, media_type: str, bodies: Mapping[str, Any]) -> Any:
    """bodies: types by media type, of which media_type has to be one. Raises Refused, InvalidValue or LimitExceeded."""
    if media_type not in bodies:
        allowed = ", ".join(bodies)
        answer = plain_problem(415, "Unsupported Media Type", f"a body is to be one of {allowed}")
        raise Refused(msgspec.structs.replace(answer, headers=dict(answer.headers) | {"Accept": allowed}))
    return decode_body(raw, bodies[media_type])


def decode_body(raw: bytes, kind: Any) -> Any:
    """An instance of kind. Raises Refused for what is no JSON or does not fit, InvalidValue for JSON that is no value of ours, or
    LimitExceeded."""
    value = decode_json(raw)
    if kind is Any:
        return value
    try:
        return _decoder_of(kind).decode(raw)
    except msgspec.ValidationError as error:
        raise Refused(plain_problem(422, "Unprocessable Content", f"in the body: {error}")) from error


@lru_cache(maxsize=512)
def _decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    """Made once: what a type says takes longer to read than most bodies."""
    return msgspec.json.Decoder(kind)


def decode_json(raw: bytes) -> Any:
    """Raises Refused, InvalidValue or LimitExceeded."""
    try:
        value = _decode(raw)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise _not_json(raw, error) from error
    check_value(value, depth_max=_DEPTH_MAX)
    if _STRINGS.sub(b"", raw).count(b":") != _keys_in(value):
        raise _bad(f"the key {_repeated(raw)!r} is there twice in one object")
    return value


def _keys_in(value: Any) -> int:
    """How many entries all maps have together. value: has passed the door, so that it is not too deep."""
    kind = type(value)
    if kind is dict:
        return len(value) + sum([_keys_in(item) for item in value.values() if type(item) in (dict, list)])
    return sum([_keys_in(item) for item in value if type(item) in (dict, list)]) if kind is list else 0


def _repeated(raw: bytes) -> str:
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: set[str] = set()
        found.extend(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return {}

    json.loads(raw, object_pairs_hook=look, parse_int=_integer)
    return found[0]


def _not_json(raw: bytes, error: Exception) -> Exception:
    """What is wrong, more exactly than a fast decoder says it: where a number or a text is none of ours."""
    try:
        value = json.loads(raw.decode(), parse_int=_integer, parse_constant=_no_constant)
        check_value(value, depth_max=_DEPTH_MAX)
    except (InvalidValue, LimitExceeded) as known:
        return known
    except UnicodeDecodeError as unreadable:
        return _bad(f"the body is not UTF-8: byte {unreadable.start}")
    except RecursionError:
        return _too_deep()
    except ValueError as malformed:
        return _bad(f"the body is not JSON: {malformed}")
    return _bad(f"the body is not JSON: {error}")


_DIGITS_MAX = 20
"""Of an integer that may be a value, with its sign."""


def _integer(text: str) -> int:
    """What has too many digits becomes the first number beyond the range: which one it is does not matter any more."""
    return int(text) if len(text) <= _DIGITS_MAX else INT_MAX + 1


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _too_deep() -> Refused:
    return Refused(plain_problem(413, "Content Too Large", "the body nests too deep to be read"))


def _bad(detail: str) -> Refused:
    return Refused(plain_problem(400, "Bad Request", detail))
