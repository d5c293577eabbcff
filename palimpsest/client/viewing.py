"""Requests through a perspective: which one a caller's arguments name, and the message that says so."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from palimpsest.client.requests import check_numbers, check_texts
from palimpsest.errors import InvalidRequest
from palimpsest.protocol import messages as m

View: TypeAlias = tuple[str, int | None]
"""The name of a perspective; or that of a family, and a level of it."""


def make_view(perspective: str | None, family: str | None, level: int | None) -> View | None:
    """None where none of them is given: documents are seen as they are. Raises InvalidRequest where they do not go together."""
    if family is None and level is None:
        if perspective is None:
            return None
        if type(perspective) is str and perspective:
            return perspective, None
    check_texts(perspective=perspective, family=family)
    check_numbers(level=level)
    if perspective is not None and family is not None:
        raise InvalidRequest(
            "a perspective by its name, or a family and a level of it: one of the two", reason="perspective and family"
        )
    if perspective is not None and level is None:
        return perspective, None
    if family is None:
        raise InvalidRequest("a level is one of a family: say which one, by family=", reason="level without family")
    if level is None:
        raise InvalidRequest("of a family a level is seen: say which one, by level=", reason="family without level")
    if level < 1:
        raise InvalidRequest(f"levels begin with 1; there is none that is {level}", reason="level")
    return family, level


def show(view: View | None, message: Any) -> Any:
    """message: a request that has its id."""
    return message if view is None else m.Through(view[0], view[1], message)


def inner(message: Any) -> Any:
    """The request itself, where it is asked through a perspective."""
    return message.request if type(message) is m.Through else message


def replaced(message: Any, **fields: Any) -> Any:
    """A copy with other fields of the request; it is asked through the same perspective, if through one."""
    if type(message) is m.Through:
        return m.Through(message.perspective, message.level, msgspec.structs.replace(message.request, **fields))
    return msgspec.structs.replace(message, **fields)
