"""What takes longer than a read: pruning, measuring, backups, erasures. Each is a task of its own, and few run at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

from palimpsest.actors.asking import internal_error, slowly
from palimpsest.actors.branches import Branches
from palimpsest.actors.commands import Remove
from palimpsest.actors.committer import Asker
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.joining import End
from palimpsest.actors.keeping import Keeper
from palimpsest.actors.registry import Registry
from palimpsest.actors.transaction import Task
from palimpsest.actors.trimming import Trimmer
from palimpsest.errors import InvalidName, InvalidRequest, Overloaded, PalimpsestError
from palimpsest.limits import Limits
from palimpsest.logs import get_logger
from palimpsest.protocol.messages import (
    Backup,
    Committed,
    Erase,
    Measure,
    Progress,
    Prune,
    Retain,
    Saved,
)
from palimpsest.state.lines import branches
from palimpsest.state.resolutions import TAKEN
from palimpsest.state.system import SUBSCRIPTIONS
from palimpsest.words import MAIN, RECORD

log = get_logger("palimpsest.actors")

_TOGETHER_MAX = 8

Save = Callable[[str, Callable[[int, int], None]], Awaitable[tuple[int, int]]]
"""Makes a backup: (path, progress in bytes) to (position, bytes)."""

_OF_SUBSCRIPTIONS = Prune(0, SUBSCRIPTIONS + "*", MAIN, Retain(versions=8, tags=()), dry_run=False)
"""Each note of what was acknowledged is a version, which nobody needs once there are later ones."""


class Errands:
    """settled: returns once all that is durable when it is called is archived."""

    def __init__(
        self,
        registry: Registry,
        keeper: Keeper,
        trimmer: Trimmer,
        limits: Limits,
        settled: Callable[[], Awaitable[None]],
        branches: Branches,
    ) -> None:
        self.save: Save | None = None
        """None: this store has no files."""
        self._registry = registry
        self._keeper = keeper
        self._trimmer = trimmer
        self._interval_seconds = limits.prune_interval_seconds
        self._settled = settled
        self._branches = branches
        self._running = 0
        self._tasks: anyio.abc.TaskGroup

    def start(self, tasks: anyio.abc.TaskGroup) -> None:
        self._tasks = tasks

    def prune(self, message: Prune, asker: Asker, now: int) -> None:
        self._begin(message.id, asker, lambda: self._keeper.prune(message, slowly(asker)))

    def measure(self, message: Measure, asker: Asker, now: int) -> None:
        self._begin(message.id, asker, lambda: self._keeper.measure(message, slowly(asker)))

    def back_up(self, message: Backup, asker: Asker, now: int) -> None:
        self._begin(message.id, asker, lambda: self._save(message, slowly(asker)))

    def erase(self, actor: DocumentActor, message: Erase, asker: Asker, now: int) -> None:
        self._begin(message.id, asker, lambda: self._erase(actor, message, asker, now))

    async def retain(self) -> None:
        """Honours the policies, until cancelled."""
        while True:
            await anyio.sleep(self._interval_seconds)
            try:
                await self.retain_once()
            except PalimpsestError as error:
                log.warning("retention_failed", reason=error.message)

    async def retain_once(self) -> None:
        for branch in sorted({policy.branch for policy in await self._keeper.policies()}):
            pruned = await self._keeper.prune(Prune(0, "**", branch, dry_run=False), lambda progress: None, worth=True)
            if pruned.events:
                log.info("pruned", branch=branch, documents=pruned.documents, events=pruned.events, bytes=pruned.bytes)
        await self._keeper.prune(_OF_SUBSCRIPTIONS, lambda progress: None, worth=True)

    # --- inside --------------------------------------------------------------------------------------------------

    def _begin(self, id: int, asker: Asker, errand: Callable[[], Awaitable[object]]) -> None:
        if self._running >= _TOGETHER_MAX:
            error = Overloaded(f"{_TOGETHER_MAX} errands are under way", limit="errands_max", maximum=_TOGETHER_MAX)
            asker.fail(id, error)
            return

        async def answer() -> None:
            try:
                asker.reply(await errand())
            except PalimpsestError as error:
                asker.fail(id, error)
            except Exception as error:
                asker.fail(id, internal_error(id, error))
            finally:
                self._running -= 1

        self._running += 1
        self._tasks.start_soon(answer)

    async def _save(self, message: Backup, tell: Callable[[Progress], None]) -> Saved:
        if self.save is None:
            raise InvalidRequest("this store has no files to back up; `export` writes its history", reason="memory")
        async with self._trimmer.held:  # what the copies of archive and journal have in common must stay in the journal
            position, size = await self.save(message.path, lambda done, total: tell(Progress(message.id, done, total)))
        return Saved(message.id, message.path, position, size)

    async def _erase(self, actor: DocumentActor, message: Erase, asker: Asker, now: int) -> Committed:
        """Answers when nothing of it is left. The event first: from then on it cannot be read, and a crash forgets nothing."""
        if message.branch == RECORD:
            reason = f"the branch {RECORD!r} is written by the server alone"
            raise InvalidName(f"{message.document!r}: {reason}", name=RECORD, reason=reason)
        answer = await self._decide_erasure(actor, message, asker, now)
        await self._settled()
        await self._trimmer.forget()
        return answer

    async def _decide_erasure(self, actor: DocumentActor, message: Erase, asker: Asker, now: int) -> Committed:
        answer = await self._branches.together(message, lambda: self._removals(message), asker.client, now)
        made = {one.branch: one.version for one in answer.made}
        version = made.get(message.branch, answer.made[-1].version)
        return Committed(message.id, version, answer.at, answer.repeat)

    async def _removals(self, message: Erase) -> list[Task]:
        """From every branch that has anything of its own: those first that start from others, `main` last."""
        document = message.document
        record = (await self._branches.awake(document, MAIN)).record
        said = (message.repeat, message.meta, message.key)
        tasks: list[Task] = []
        for name in reversed(branches(record)):
            actor = await self._branches.awake(document, name)
            if actor.version if name == MAIN else actor.newest_own or actor.line is not None:
                tasks.append(Task(actor, Remove(message.id, document, name, *said, path=message.path)))
                if (
                    not message.path and actor.line is not None
                ):  # its record goes: whoever writes to it from here on has no branch
                    tasks.append(Task(actor, _ending(message.id, actor), silent=True))
        if record is not None and (not message.path or record.get(TAKEN)):
            # A resolution may hold what is to be gone: all are forgotten.
            remove = Remove(message.id, document, RECORD, *said, path=(TAKEN, "*") if message.path else ())
            tasks.insert(0, Task(await self._branches.awake(document, RECORD), remove, told=False))
        return tasks


def _ending(id: int, actor: DocumentActor) -> Callable[[], End]:
    """To be decided once what the actor had is erased."""
    return lambda: End(id, actor.document, actor.branch, expect=actor.version)
