"""Synchronizing on an event loop: the diff is made off it, compiled, and applied through the async client. No hook is called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec
from diffsync import Adapter
from diffsync.diff import Diff
from diffsync.enum import DiffSyncFlags

from palimpsest.client import Client
from palimpsest.sync.layout import Part
from palimpsest.sync.writing import pieces

OnProgress = Callable[[str, int, int], object]
"""Called in the event loop with the stage, what is done, and of how much; not for every object, but for about each hundredth part."""


class Compiled(msgspec.Struct, frozen=True):
    """What is to be written. parts: by document. expect: the versions that it is conditional on."""

    branch: str
    parts: Mapping[str, Part]
    expect: Mapping[str, int]

    def __len__(self) -> int:
        """How many documents it changes."""
        return len(self.parts)


async def diff_async(
    source: Adapter,
    target: Adapter,
    *,
    flags: DiffSyncFlags = DiffSyncFlags.NONE,
    diff_class: type[Diff] = Diff,
    on_progress: OnProgress | None = None,
) -> Diff:
    """As `target.diff_from(source)`, in a thread: the event loop goes on. Neither adapter is to be changed meanwhile."""
    callback = None if on_progress is None else _in_loop(asyncio.get_running_loop(), on_progress)
    return await asyncio.to_thread(target.diff_from, source, diff_class, flags, callback)


async def apply(
    client: Client,
    compiled: Compiled,
    *,
    by: str | None = None,
    description: str | None = None,
    tags: Iterable[str] = (),
) -> dict[str, int]:
    """The versions that were made, by document. As one transaction, or several where it is of more documents than one may have.

    Raises VersionConflict or DocumentExists where somebody was faster; of that transaction nothing is written then, nor of those after it.
    """
    made: dict[str, int] = {}
    for piece in pieces(dict(compiled.parts), client.limits):
        expect = {name: compiled.expect[name] for name in piece}
        written = await client.transaction(
            piece, expect=expect, branch=compiled.branch, by=by, description=description, tags=tags
        )
        made |= {name: version.version for name, version in written.items()}
    return made


def _in_loop(loop: asyncio.AbstractEventLoop, on_progress: OnProgress) -> Callable[[str, int, int], None]:
    """What is called in the thread for every object."""
    due: dict[str, int] = {}

    def callback(stage: str, done: int, total: int) -> None:
        if done >= due.get(stage, 0):
            due[stage] = min(done + max(1, total // 100), total) if done < total else total + 1
            loop.call_soon_threadsafe(on_progress, stage, done, total)

    return callback
