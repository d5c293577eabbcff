"""Paths of a repository as names of documents, and back.

A path becomes `prefix + path`, with what a document name does not allow percent-encoded: bytes that are not UTF-8, `%`,
`*`, and control characters. A `$` is encoded where the path starts with it, so that no file meets the names that are kept
for the import itself (`prefix$import`) and for the system. So `docs/50%*.txt` is `docs/50%25%2A.txt`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from palimpsest.errors import InvalidName, LimitExceeded, UsageError
from palimpsest.state.names import check_branch

_ENCODED = re.compile("[%*\x00-\x1f\x7f-\x9f\ud800-\udfff]|^\\$")
"""Bytes that are not UTF-8 appear as lone surrogates, which is how Python decodes them."""


def document_name(prefix: str, path: bytes) -> str:
    """The document of a file. path: as git holds it: not empty, without empty segments, `.` or `..`."""
    return prefix + _ENCODED.sub(_encode, path.decode("utf-8", "surrogateescape"))


def path_of(prefix: str, name: str) -> bytes:
    """The path whose document is `name`; undoes `document_name`."""
    return unquote_to_bytes(name.removeprefix(prefix))


def progress_name(prefix: str) -> str:
    """The document that says how far the import under `prefix` has come."""
    return f"{prefix}$import"


def check_prefix(prefix: str) -> str:
    """The prefix, with a slash at its end unless it is empty. Raises UsageError where it starts with one."""
    if prefix.startswith("/"):
        raise UsageError(f"the prefix {prefix!r} starts with a slash; names of documents do not")
    return prefix if not prefix or prefix.endswith("/") else prefix + "/"


def is_branch_name(name: str, *, name_bytes_max: int) -> bool:
    """Whether a branch of documents can be called so. What begins with `$` is the server's own."""
    try:
        check_branch(name, name_bytes_max=name_bytes_max)
    except (InvalidName, LimitExceeded):
        return False
    return not name.startswith("$") and ":" not in name


def _encode(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape"))
