"""The three-way merge of texts, by lines, where a rule asks for one."""

from __future__ import annotations

from typing import Any

from palimpsest.state.conflicts import CONFLICT
from palimpsest.state.merge_lists import diff3


def merge_texts(base: str, ours: str, theirs: str) -> Any:
    """The changes of both sides to lines that do not lie next to each other; CONFLICT otherwise. Lines keep their ends."""
    merged = diff3(base.splitlines(keepends=True), ours.splitlines(keepends=True), theirs.splitlines(keepends=True))
    return CONFLICT if merged is CONFLICT else "".join(merged)
