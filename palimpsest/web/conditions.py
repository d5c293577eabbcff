"""Conditional requests (RFC 9110, 13): an `ETag` is a version, `If-Match` is `expect`, `If-None-Match: *` is "only where nothing is".

ETag: "7"          the newest version as it is
ETag: "7.9f2c..."  what is seen of version 7, which may become another while the version stays
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from palimpsest.web.operations import Call
from palimpsest.web.problems import Refused, plain_problem

_OURS = re.compile(r'"([1-9][0-9]{0,18})(?:\.[0-9a-f]{1,64})?"')
_TAGS = re.compile(r'\s*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,256}")
_VERSION_MAX = 2**63 - 1

IF_MATCH: Final = {
    "If-Match": 'The version that is expected, as its `ETag`, such as `"7"`; `*`: any, as long as there is one.'
}
IF_NONE_MATCH: Final = {"If-None-Match": "The `ETag` of what is known already: then the answer is 304."}
IDEMPOTENCY_KEY: Final = {
    "Idempotency-Key": "1 to 256 visible ASCII characters: a repeat with the same key is not applied again."
}
WRITE_HEADERS: Final = IF_MATCH | IDEMPOTENCY_KEY
DOCUMENT_HEADERS: Final = {
    "ETag": "The version, for `If-Match` and `If-None-Match`.",
    "Palimpsest-Version": "The version.",
    "Palimpsest-Branch": "The branch that the version was made on, percent-encoded.",
}


class Condition(msgspec.Struct, frozen=True):
    """Of a write. expect: the version that has to be there. exists: something has to be there, whichever. is_new: nothing may be there."""

    expect: int | None = None
    exists: bool = False
    is_new: bool = False


def condition_of(headers: Mapping[str, str]) -> Condition:
    """headers: by names of lower case. Raises Refused for what is no condition of a write."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is not None and none_match is not None:
        raise _bad("`If-Match` and `If-None-Match` together can never hold")
    if none_match is not None:
        if none_match.strip() != "*":
            raise _bad(f"`If-None-Match` of a write is `*`, not {none_match!r}")
        return Condition(is_new=True)
    if match is None:
        return Condition()
    if match.strip() == "*":
        return Condition(exists=True)
    return Condition(expect=_version_in(match), exists=True)


def expect_of(headers: Mapping[str, str]) -> int | None:
    """The version that `If-Match` expects, for a write of what has to be there anyway. Raises Refused."""
    condition = condition_of(headers)
    if condition.is_new:
        raise _bad("`If-None-Match: *` is for `PUT`")
    return condition.expect


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """Raises Refused for a key that is none."""
    key = headers.get("idempotency-key")
    if key is not None and _REQUEST_ID.fullmatch(key) is None:
        raise _bad("an `Idempotency-Key` has 1 to 256 visible ASCII characters")
    return key


def said_of(call: Call) -> dict[str, Any]:
    """Who writes and why, and the request's id, as the client's words take them."""
    query = call.query
    said = {"by": query.by, "description": query.description, "request_id": request_id_of(call.headers)}
    return said | ({"tags": query.tags} if hasattr(query, "tags") else {})


def tag_of(version: int, seen: bytes | None = None) -> str:
    """seen: the body, where the version alone does not say what it is."""
    return f'"{version}"' if seen is None else f'"{version}.{blake2b(seen, digest_size=10).hexdigest()}"'


@lru_cache(maxsize=4_096)
def last_modified(at_seconds: int) -> str:
    """at_seconds: of the version, since the epoch, UTC."""
    return formatdate(at_seconds, usegmt=True)


def is_known(headers: Mapping[str, str], tag: str) -> bool:
    """Whether `If-None-Match` of a read names the tag, by the weak comparison. What is no list of tags is taken for none."""
    text = headers.get("if-none-match", "")
    return text.strip() == "*" or tag in [found.removeprefix("W/") for found in _TAGS.findall(text)]


def _version_in(text: str) -> int:
    found = _OURS.fullmatch(text.strip())
    version = int(found[1]) if found is not None else 0
    if not 0 < version <= _VERSION_MAX:
        raise _bad(f'`If-Match` is one `ETag` of ours, such as `"7"`, or `*`, not {text!r}')
    return version


def _bad(detail: str) -> Refused:
    return Refused(plain_problem(400, "Bad Request", detail))
