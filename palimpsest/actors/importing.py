"""Versions as they were elsewhere, taken over into a branch.

The document's record is taken over before its branches, so that each is there, with what it starts from. A branch that is deleted by
then is not; versions of it that other branches start from are taken over all the same: while they are decided, it is there again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from palimpsest.actors.asking import Adopting, Question, internal_error
from palimpsest.actors.branches import Branches
from palimpsest.actors.commands import Adopt
from palimpsest.actors.committer import Asker
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.jobs import Job
from palimpsest.actors.joining import Begin, End, Guard
from palimpsest.actors.reading import Reader
from palimpsest.actors.registry import Registry
from palimpsest.actors.stream import Stream
from palimpsest.actors.transaction import Task
from palimpsest.errors import Conflict, LimitExceeded, PalimpsestError
from palimpsest.limits import Limits
from palimpsest.protocol.messages import Entry, Import, Imported
from palimpsest.state.branching import Moved
from palimpsest.state.lines import Line, line_at, lines_of
from palimpsest.words import RECORD


class Importer:
    """start_read: runs a job that answers asker; as the partition does."""

    def __init__(
        self,
        registry: Registry,
        branches: Branches,
        reader: Reader,
        limits: Limits,
        start_read: Callable[[int, Asker, Job], None],
    ) -> None:
        self._registry = registry
        self._branches = branches
        self._reader = reader
        self._limits = limits
        self._start_read = start_read

    def take_over(self, actor: DocumentActor, message: Import, asker: Asker, now: int) -> None:
        """The branch is there, and all that it is, is durable. Raises nothing; the asker hears."""
        if actor.line is not None and any(entry.version < actor.line.first for entry in message.entries):
            self.take_over_deleted(actor, message, asker, now)
            return
        try:
            self._check(message)
            _check_bases(actor, actor.line, message.entries)
            _check_time(actor, actor.version, actor.at, message.entries)
        except PalimpsestError as error:
            asker.fail(message.id, error)
            return
        entries = [entry for entry in message.entries if entry.version > actor.version]
        if not entries:
            asker.reply(Imported(message.id, actor.version, 0))
            return
        adopting = Adopting(message.id, asker, len(entries))
        for command in _adoptions(actor, actor.version, entries):
            self._registry.route(command, adopting, now)

    def take_over_deleted(self, actor: DocumentActor, message: Import, asker: Asker, now: int) -> None:
        """As `take_over`, where the branch is deleted, or was once and made again."""

        async def answer() -> None:
            try:
                self._check(message)
                asker.reply(await self._take_over(message, asker.client, now))
            except PalimpsestError as error:
                asker.fail(message.id, error)
            except Exception as error:
                asker.fail(message.id, internal_error(message.id, error))

        if lines_of(actor.record, actor.branch):
            self._start_read(message.id, asker, answer)
        else:
            self._branches.on_absent(actor, message, asker, now)

    # --- deleted branches ----------------------------------------------------------------------------------------

    async def _take_over(self, message: Import, client: str, now: int) -> Imported:
        document, branch = message.document, message.branch
        await self._branches.awake(document, RECORD)  # what was decided about the branch before is durable
        request = Guard(message.id, document, branch)
        made = await self._branches.together_if_any(request, lambda: self._tasks(message), client, now)
        actor = await self._awake(document, branch)
        count = 0 if made is None else len(made.made)
        line = actor.line
        rest = () if line is None else tuple([entry for entry in message.entries if entry.version >= line.first])
        if not rest:
            return Imported(message.id, actor.newest_own, count)
        question = Question(client)
        self.take_over(actor, msgspec.structs.replace(message, entries=rest), question, now)
        answer = await question.result()
        assert isinstance(answer, Imported)
        return Imported(message.id, answer.version, answer.made + count)

    async def _tasks(self, message: Import) -> list[Task]:
        """What takes over the versions of deleted branches that are not there yet. Raises Moved where somebody was faster."""
        actor = await self._branches.awake(message.document, message.branch)
        if actor.durable != actor.version:
            raise Moved(f"{actor.document!r} has changed on {actor.branch!r} meanwhile, again and again")
        line, newest = actor.line, actor.newest_own
        if newest and any(entry.version == newest for entry in message.entries):
            row = await self._reader.row(actor, (actor.branch, newest))
            _check_time(actor, newest, row.event.at, message.entries)
        tasks: list[Task] = []
        for ended in lines_of(actor.record, actor.branch):
            own = [entry for entry in message.entries if _is_on(actor, ended, entry)]
            if ended.last is not None:
                _check_bases(actor, ended, own)
                missing = [entry for entry in own if entry.version > newest]
                if missing:
                    tasks += await self._revived(actor, ended, newest, missing)
                    newest = missing[-1].version
        if tasks and line is not None:
            end = Task(actor, End(0, actor.document, actor.branch, expect=actor.version))
            value = None if line.base is None else await self._reader.stream_at(actor, line.base)
            tasks = [end, *tasks, _beginning(actor, line, value, newest)]
        return tasks

    async def _revived(self, actor: DocumentActor, ended: Line, newest: int, missing: Sequence[Entry]) -> list[Task]:
        """The branch is there again, goes on by the versions that are missing, and is deleted. newest: of its name."""
        first, base = missing[0].version, None
        if newest >= ended.first:
            value = await self._reader.stream_at(actor, (actor.branch, newest))
            first = newest + 1
        elif missing[0].parents is not None and missing[0].parents.base is not None:
            base = missing[0].parents.base
            value = await self._reader.stream_at(actor, base)
        else:  # what it starts from is not kept, so that it begins with a whole value
            value = Stream(actor.document, actor.branch, self._limits)
        tasks = [_beginning(actor, Line(actor.branch, first, base), value, newest)]
        tasks += [Task(actor, command) for command in _adoptions(actor, first - 1, missing)]
        return [*tasks, Task(actor, End(0, actor.document, actor.branch, expect=missing[-1].version))]

    async def _awake(self, document: str, branch: str) -> DocumentActor:
        """As it is after that. Where the branch was made again, it has no version of its own yet, and its base is durable."""
        actor = self._registry.actor(document, branch)
        if not actor.asleep and actor.line is not None:
            actor.durable = max(actor.durable, actor.line.first - 1)
            actor.release()
        return await self._branches.awake(document, branch)

    # --- inside --------------------------------------------------------------------------------------------------

    def _check(self, message: Import) -> None:
        maximum = self._limits.page_items_max
        if len(message.entries) > maximum:
            raise LimitExceeded(
                f"{len(message.entries)} versions at once; page_items_max is {maximum}",
                limit="page_items_max",
                maximum=maximum,
                actual=len(message.entries),
            )


def _adoptions(actor: DocumentActor, after: int, entries: Sequence[Entry]) -> list[Adopt]:
    """after: the version that the first of entries comes behind."""
    made: list[Adopt] = []
    for entry in entries:
        made.append(Adopt(entry.version, actor.document, actor.branch, expect=after, entry=entry))
        after = entry.version
    return made


def _beginning(actor: DocumentActor, line: Line, value: Stream | None, newest: int) -> Task:
    """newest: the newest version under the branch's name by then. Decided, it raises Moved where that is another."""

    def begin() -> Begin:
        actor.at = 0  # what comes was made when it was, which may be before what the branch starts from by now
        return Begin(0, actor.document, actor.branch, expect=newest, line=line, value=value)

    return Task(actor, begin, silent=True)


def _is_on(actor: DocumentActor, line: Line, entry: Entry) -> bool:
    return line_at(actor.record, (actor.branch, entry.version)).first == line.first


def _check_time(actor: DocumentActor, version: int, at: int, entries: Sequence[Entry]) -> None:
    """at: when the version was made that is there. Raises Conflict where it is another one in entries."""
    if any(entry.version == version and entry.at != at for entry in entries):
        raise Conflict(f"version {version} of {actor.document!r} is another one here, made at another time")


def _check_bases(actor: DocumentActor, line: Line | None, entries: Sequence[Entry]) -> None:
    """line: that entries are to be on. Raises Conflict where the branch that they are from starts from elsewhere, or ended sooner."""
    here = None if line is None or line.base is None else (line.first, line.base)
    for entry in entries:
        base = None if entry.parents is None else entry.parents.base
        if base is not None and (entry.version, base) != here:
            raise Conflict(
                f"{actor.branch!r} of {actor.document!r} does not start from version {base[1]} of {base[0]!r} here"
            )
        if line is not None and line.last is not None and entry.version > line.last:
            raise Conflict(f"{actor.branch!r} of {actor.document!r} was deleted after version {line.last} here")
