"""Paths: where in a value. A tuple of keys (str) and indexes (int), and its written form.

    meta.tags.0             ("meta", "tags", 0)
    files["README.md"].size ("files", "README.md", "size")
    ["0"]                   ("0",), a key: bare digits are an index
                            (), the root, is written as nothing at all

What is between the brackets is a JSON string. `parse_path` and `format_path` are each other's inverse.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

from palimpsest.errors import InvalidPath

Path = tuple[str | int, ...]

INDEX_MAX = 2**63 - 1
"""The largest index that a path may hold; far beyond any list, and a plain int everywhere."""

_BARE = re.compile(r'[^.\[\]"\s\x00-\x1f\x7f]+')
_QUOTED = re.compile(r'\[("(?:[^"\\]|\\.)*")\]', re.DOTALL)
_DIGITS = re.compile(r"[0-9]+")


@lru_cache(maxsize=8192)
def parse_path(text: str) -> Path:
    """The path that text writes. Raises InvalidPath with the offset at which it stops making sense."""
    if not text:
        return ()
    steps: list[str | int] = []
    offset = 0
    while offset < len(text):
        quoted = _QUOTED.match(text, offset)
        if quoted is not None:
            steps.append(_unquote(text, quoted))
            offset = quoted.end()
            continue
        if steps:
            if text[offset] != ".":
                raise _invalid(text, offset, "a step starts with `.` or `[`")
            offset += 1
        bare = _BARE.match(text, offset)
        if bare is None:
            raise _invalid(text, offset, _why_not(text, offset))
        steps.append(_bare_step(text, bare))
        offset = bare.end()
    return tuple(steps)


def format_path(path: Path) -> str:
    """The written form of path."""
    return "".join(_format_step(step, first=index == 0) for index, step in enumerate(path))


def check_path(path: object) -> Path:
    """path itself, where it is a tuple of str that are text and of int from 0 to INDEX_MAX. Raises InvalidPath."""
    if type(path) is not tuple:
        raise InvalidPath(f"{path!r} is not a path: a path is text or a tuple", text=repr(path), offset=0)
    for step in path:
        if type(step) is str:
            if not step.isascii():
                _check_text(step, repr(path), 0)
        elif type(step) is not int or not 0 <= step <= INDEX_MAX:
            reason = "a step is a key (str) or an index (int, at least 0)"
            raise InvalidPath(f"{path!r} is not a path: {step!r}: {reason}", text=repr(path), offset=0)
    return path


def _format_step(step: str | int, *, first: bool) -> str:
    if type(step) is int:
        return str(step) if first else f".{step}"
    assert type(step) is str, step
    if _BARE.fullmatch(step) and not _DIGITS.fullmatch(step):
        return step if first else f".{step}"
    return f"[{json.dumps(step, ensure_ascii=False)}]"


def _unquote(text: str, quoted: re.Match[str]) -> str:
    try:
        key = json.loads(quoted[1])
    except ValueError as error:
        raise _invalid(text, quoted.start(1), "what is between the brackets is not a JSON string") from error
    assert type(key) is str
    _check_text(key, text, quoted.start(1))
    return key


def _bare_step(text: str, bare: re.Match[str]) -> str | int:
    step = bare[0]
    if not _DIGITS.fullmatch(step):
        _check_text(step, text, bare.start())
        return step
    if step != "0" and step.startswith("0"):
        raise _invalid(text, bare.start(), f'an index has no leading zeros; a key of digits is written ["{step}"]')
    if len(step) > len(str(INDEX_MAX)) or int(step) > INDEX_MAX:
        raise _invalid(text, bare.start(), f'an index is at most {INDEX_MAX}; a key of digits is written ["..."]')
    return int(step)


def _check_text(key: str, text: str, offset: int) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        raise _invalid(text, offset, "a key has half of a surrogate pair, which is not text") from None


def _why_not(text: str, offset: int) -> str:
    if offset == len(text):
        return "it ends where a step is missing"
    if text[offset] == "[":
        return 'a bracket holds a key as a JSON string, such as ["odd.key"]; an index is written .0'
    return f"{text[offset]!r} is not the start of a step; an odd key is written as a JSON string in brackets"


def _invalid(text: str, offset: int, reason: str) -> InvalidPath:
    # The text travels in the error's data, so that it has to be text even where it was not.
    text = text.encode(errors="backslashreplace").decode()
    return InvalidPath(f"{text!r} is not a path: at character {offset}: {reason}", text=text, offset=offset)
