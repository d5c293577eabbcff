"""Names of documents, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from palimpsest.client.asking import ask
from palimpsest.client.session import Session
from palimpsest.client.viewing import View, show
from palimpsest.protocol import messages as m
from palimpsest.words import MAIN


async def name_pages(
    session: Session,
    pattern: str,
    *,
    branch: str = MAIN,
    after: str = "",
    deleted: bool = False,
    view: View | None = None,
    limit: int | None = None,
) -> AsyncGenerator[Sequence[str], None]:
    """after: only names behind it, in the order of code points. deleted: of documents that are deleted, too. view: of documents that
    can be seen through it. limit: at most so many."""
    page_items = session.settings.page_items
    more, left = True, limit
    while more and left != 0:
        message = m.List(0, pattern, branch, after, page_items if left is None else min(page_items, left), deleted)
        answer = await ask(session, m.Names, show(view, message))
        yield answer.names
        more = answer.more
        left = None if left is None else max(0, left - len(answer.names))
        after = answer.names[-1] if answer.names else after
