"""What a file is as a document: `{"mode": "100644", "lines": ["first line", "second line", ""]}`.

The lines are the text between newlines, so that `"\\n".join(lines)` is the file, exactly, whatever ends its last line and
whether or not it has carriage returns. Lines rather than one string, because a changed line is then a small op: the log
grows with the change and not with the file, a reader sees which lines a version changed, and so does whoever follows.

Whether a file is a document depends on nothing but the file and the limits of the import. So the import needs no memory
of what it did: what a path held before a commit says whether there is a document to change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import msgspec

from palimpsest.cli.git.names import document_name
from palimpsest.cli.git.repository import Blobs, File, FileChange

CACHE_BYTES_MAX = 64 * 1024 * 1024
"""Of contents of files that are kept: what a commit changes was most often written by one not long before."""

_LINE_BYTES_MAX = 5
"""What a line may cost beyond its text once it is encoded; used to see quickly that a file is far from the limit."""

Value = dict[str, Any]


class Skip(Enum):
    """Why a file is no document."""

    BINARY = "binary"
    NOT_UTF8 = "not UTF-8"
    TOO_LARGE = "too large"
    NAME_TOO_LONG = "name too long"
    SYMLINK = "symbolic link"
    SUBMODULE = "submodule"


class TextLimits(msgspec.Struct, frozen=True):
    """What a document may be. They are kept with the import, so that every run of it decides alike."""

    document_bytes_max: int
    name_bytes_max: int


def text_value(mode: str, text: str) -> Value:
    return {"mode": mode, "lines": text.split("\n")}


def value_text(value: Value) -> str:
    """The file's text; undoes `text_value`."""
    return "\n".join(value["lines"])


class Texts:
    """Files of a repository as values, with a bounded memory of their contents."""

    def __init__(self, blobs: Blobs, *, prefix: str, limits: TextLimits) -> None:
        self._blobs = blobs
        self._prefix = prefix
        self._limits = limits
        self._contents: OrderedDict[str, bytes | None] = OrderedDict()
        """By name; None for what is too large to be kept."""
        self._contents_bytes = 0

    def read(self, changes: Iterable[FileChange]) -> None:
        """Reads at once all that `value` will be asked for about these changes."""
        files = (file for change in changes for file in (change.before, change.after))
        wanted = dict.fromkeys(file.blob for file in files if file and not (file.is_symlink or file.is_submodule))
        while self._contents_bytes > CACHE_BYTES_MAX:
            _, content = self._contents.popitem(last=False)
            self._contents_bytes -= len(content or b"")
        self._add([blob for blob in wanted if blob not in self._contents])

    def value(self, path: bytes, file: File) -> Value | Skip:
        """The document's value, or why there is none."""
        if file.is_submodule:
            return Skip.SUBMODULE
        if file.is_symlink:
            return Skip.SYMLINK
        if len(document_name(self._prefix, path).encode()) > self._limits.name_bytes_max:
            return Skip.NAME_TOO_LONG
        return self._text(file)

    def _text(self, file: File) -> Value | Skip:
        content = self._content(file.blob)
        if content is None:
            return Skip.TOO_LARGE
        if b"\0" in content:
            return Skip.BINARY
        try:
            value = text_value(file.mode, content.decode())
        except UnicodeDecodeError:
            return Skip.NOT_UTF8
        return value if self._fits(value, len(content)) else Skip.TOO_LARGE

    def _fits(self, value: Value, content_bytes: int) -> bool:
        most = content_bytes + _LINE_BYTES_MAX * (len(value["lines"]) + 10)
        return most <= self._limits.document_bytes_max or encoded_bytes(value) <= self._limits.document_bytes_max

    def _content(self, blob: str) -> bytes | None:
        if blob not in self._contents:
            self._add([blob])
        self._contents.move_to_end(blob)
        return self._contents[blob]

    def _add(self, blobs: Sequence[str]) -> None:
        contents = self._blobs.read(blobs, bytes_max=self._limits.document_bytes_max)
        self._contents.update(contents)
        self._contents_bytes += sum(len(content or b"") for content in contents.values())


def encoded_bytes(value: Any) -> int:
    """How large a value is once it is encoded, whatever the order of its keys."""
    return len(msgspec.msgpack.encode(value))
