"""Perspectives as they are written down: documents under `$system/perspectives/`, checked when they are defined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

PERSPECTIVES = "$system/perspectives/"
"""What the names of their documents begin with; the perspective's name follows."""


class Mask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What stands in for a value. constant: `value` does. last: of a text, its last `characters`, after `***`; `***` alone for what is no
    text, or not at least twice as long. hash: the first 32 hex digits of HMAC-SHA256 under `key`, of the value, so that equal values can
    be told to be equal."""

    kind: Literal["constant", "last", "hash"] = "constant"
    value: Any = "***"
    characters: int = 4
    key: str = ""


class Perspective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A named view of documents."""

    name: str
    documents: tuple[str, ...] | str = "**"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rename: Mapping[str, str] = {}
    mask: Mapping[str, Mask] = {}
    compute: Mapping[str, str] = {}
    extends: str | None = None
    family: str | None = None
    level: int | None = None
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    description: str = ""
