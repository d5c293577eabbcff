"""Lists in pages: the items, and where the next of them are, in the body and as a `Link` (RFC 8288)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from palimpsest.web.operations import Answer, Call
from palimpsest.web.plain import moment
from palimpsest.web.queries import given

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """next: a URL without a host; null: there is no more."""

    items: list[T]
    next: str | None = None


PAGE_HEADERS = {"Link": "The next page, with `rel=next`; missing where there is none."}


def limit_of(call: Call) -> int:
    """Items that one answer may have."""
    limit: int = call.query.limit
    return min(limit, call.services.limits.page_items_max)


def next_url(call: Call, **changed: Any) -> str:
    """The same question, but for what is changed. It is of ASCII without quotes, brackets and control characters."""
    parts = dict(given(call.query)) | changed
    pairs = [(name, value) for name, values in parts.items() for value in _texts(values)]
    return f"{quote(call.target, safe='/')}?{urlencode(pairs)}"


def next_after(call: Call, found: Sequence[T], name: Callable[[T], str]) -> str | None:
    """Where the next page is; None where there is none. found: what lies behind the `after` of the query, at least one more than the answer may
    have where there are more. name: what `after` says of an item."""
    limit = limit_of(call)
    return next_url(call, after=name(found[limit - 1])) if len(found) > limit else None


def page_answer(page: Any) -> Answer:
    """page: has `items` and `next`."""
    headers = {} if page.next is None else {"Link": f'<{page.next}>; rel="next"'}
    return Answer(page, headers=headers)


def _texts(value: Any) -> Sequence[str]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, bool):
        return ("true" if value else "false",)
    return (moment(value) if isinstance(value, datetime) else str(value),)
