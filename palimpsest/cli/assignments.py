"""The words of `palimpsest update`: `title="B"`, `stars+=1`, `draft-`, `tags[]=x`, as one delta.

What stands before the first `=` outside of quotes is a path in its written form. A value is JSON; what does not look
like JSON is taken as a string, so that `title=hello` needs no quotes inside quotes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from palimpsest.errors import InvalidDelta, InvalidValue
from palimpsest.state.delta import Delta

_PATH = re.compile(r'(?:\["(?:[^"\\]|\\.)*"\]|[^=])*', re.DOTALL)
"""As far as a path can reach: quoted keys may hold `=`, nothing else does."""


def parse_assignments(words: Sequence[str], deletions: Sequence[str] = ()) -> Delta:
    """One op for each word, in their order, and then a `delete` for each path of `deletions`.

    Raises InvalidDelta for a word that is none of these, InvalidValue for broken JSON, InvalidPath.
    """
    delta = Delta()
    for word in words:
        delta = _add(delta, word)
    for path in deletions:
        delta = delta.delete(path)
    return delta


def parse_json(text: str, *, what: str) -> Any:
    """A JSON value. what: how the error speaks of the text. Raises InvalidValue."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidValue(f"{what} is not JSON: {error}", path="", reason=str(error)) from error


def _add(delta: Delta, word: str) -> Delta:
    found = _PATH.match(word)
    assert found is not None, "the pattern matches the empty text"
    left, right = found[0], word[found.end() :]
    if not right:
        if len(left) > 1 and left.endswith("-"):
            return delta.delete(left[:-1])
        raise InvalidDelta(f"{word!r} is no change: write path=value, path+=number, path[]=value or path-", op=None)
    value = _value(word, right[1:])
    if left.endswith("+"):
        return delta.increment(left[:-1], _number(word, value))
    if left.endswith("[]"):
        return delta.append(left[:-2], value)
    return delta.set(left, value)


def _value(word: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        if text[:1] in ("{", "[", '"'):
            # Meant as JSON: to take a slip of the pen for a string would hide it.
            raise InvalidValue(f"the value in {word!r} is not JSON: {error}", path="", reason=str(error)) from error
        return text


def _number(word: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValue(f"{word!r} adds what is not a number", path="", reason="not a number")
    return value
