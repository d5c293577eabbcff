"""Names of documents and branches, and the patterns that speak of many.

A name is a path of segments joined by `/`. Almost everything may stand in a segment: spaces, dots, any script, because the
file names of a git repository are document names. What may not: nothing at all, `.`, `..`, `*`, control characters, and what
is not Unicode text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from palimpsest.errors import InvalidName, LimitExceeded

NAME_BYTES_MAX = 512

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_name(name: str, *, name_bytes_max: int = NAME_BYTES_MAX) -> None:
    """Returns if name is the name of a document.

    Raises InvalidName, or LimitExceeded where it is longer than name_bytes_max bytes of UTF-8.
    """
    _check(name, "document name", name_bytes_max)
    if "*" in name:
        raise _invalid(name, "document name", "`*` belongs to patterns")


def check_branch(name: str, *, name_bytes_max: int = NAME_BYTES_MAX) -> None:
    """Returns if name is the name of a branch: the rules of `check_name`."""
    _check(name, "branch name", name_bytes_max)
    if "*" in name:
        raise _invalid(name, "branch name", "`*` belongs to patterns")


class Pattern:
    """Which names: `*` is one level, `**` any depth.

    `a/**` is everything under `a`, not `a` itself; `a/**/b` is `a/b` too; `**` is every name. Both stand for whole
    segments only. A pattern without them matches the one name that it is. Names that begin with `$` are the server's own: a
    pattern that begins with one of them does not match these.
    """

    __slots__ = ("_is_open", "_rest", "_segments", "exact", "prefix", "text")

    text: str
    exact: str | None
    """The only name that can match, or None."""
    prefix: str
    """What every name that matches starts with; may be empty."""

    def __init__(self, text: str) -> None:
        """text: well formed, as `parse` sees to."""
        segments = text.split("/")
        literal = next((at for at, segment in enumerate(segments) if segment in ("*", "**")), len(segments))
        self.text = text
        self.exact = text if literal == len(segments) else None
        self.prefix = text if self.exact is not None else "".join(segment + "/" for segment in segments[:literal])
        self._is_open = literal == 0
        """It may begin with anything but `$`."""
        self._rest = segments[literal:]
        self._segments = _with_one_level_at_the_end(self._rest)

    @staticmethod
    def parse(text: str, *, name_bytes_max: int = NAME_BYTES_MAX) -> Pattern:
        """Raises InvalidName or LimitExceeded. Patterns are immutable and shared: the same text gives the same object."""
        return _parse(text, name_bytes_max)

    def matches(self, name: str) -> bool:
        """name: well formed, as `check_name` sees to."""
        if self.exact is not None:
            return name == self.exact
        if not name.startswith(self.prefix):
            return False
        rest = name[len(self.prefix) :]
        if self._is_open and rest[:1] == "$":
            return False
        if self._rest == ["**"]:
            return rest != ""
        if self._rest == ["*"]:
            return rest != "" and "/" not in rest
        return _match(self._segments, rest.split("/"))

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@lru_cache(maxsize=4096)
def _parse(text: str, name_bytes_max: int) -> Pattern:
    _check(text, "pattern", name_bytes_max)
    if any("*" in segment and segment not in ("*", "**") for segment in text.split("/")):
        raise _invalid(text, "pattern", "`*` and `**` stand for whole segments")
    return Pattern(text)


def _with_one_level_at_the_end(segments: list[str]) -> list[str]:
    # `**` in the middle may stand for no level, at the end it may not: there it says the same as `**/*`.
    return [*segments, "*"] if segments and segments[-1] == "**" else segments


def _match(pattern: list[str], name: list[str]) -> bool:
    """Takes at most len(pattern) * len(name) steps: only the last `**` that was passed is ever tried again."""
    at = position = 0
    retry_at, retry_position = -1, 0
    while position < len(name):
        if at < len(pattern) and pattern[at] == "**":
            at += 1
            retry_at, retry_position = at, position
        elif at < len(pattern) and pattern[at] in ("*", name[position]):
            at += 1
            position += 1
        elif retry_at >= 0:
            retry_position += 1
            at, position = retry_at, retry_position
        else:
            return False
    return at == len(pattern)


def _check(name: str, kind: str, name_bytes_max: int) -> None:
    if type(name) is not str:
        raise _invalid(repr(name), kind, f"it is a {type(name).__name__}, not a str")
    size = len(name) if name.isascii() else _utf8_bytes(name, kind)
    if size > name_bytes_max:
        raise LimitExceeded(
            f"a {kind} of {size} bytes; name_bytes_max is {name_bytes_max}",
            limit="name_bytes_max",
            maximum=name_bytes_max,
            actual=size,
        )
    if _CONTROL.search(name):
        raise _invalid(name, kind, "it has a control character")
    for segment in name.split("/"):
        if segment in ("", ".", ".."):
            raise _invalid(name, kind, _why_not(name, segment))


def _why_not(name: str, segment: str) -> str:
    if not name:
        return "it is empty"
    if segment:
        return f"`{segment}` is not a segment"
    if name.startswith("/") or name.endswith("/"):
        return "it starts or ends with a slash"
    return "it has an empty segment"


def _utf8_bytes(name: str, kind: str) -> int:
    try:
        return len(name.encode())
    except UnicodeEncodeError:
        raise _invalid(name, kind, "it has half of a surrogate pair, which is not text") from None


def _invalid(name: str, kind: str, reason: str) -> InvalidName:
    # The name travels in the error's data, so that it has to be text even where it was not.
    name = name.encode(errors="backslashreplace").decode()
    return InvalidName(f"{name!r} is not a {kind}: {reason}", name=name, reason=reason)
