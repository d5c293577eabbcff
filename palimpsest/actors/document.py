"""The actor of one document branch: its mailbox, and what is told to whom when the log has spoken.

Not a task: an object whose methods are called on the event loop. A command is decided at once where that is possible. It
waits in the inbox while the actor is asleep (its value is being read), while a repeated request is looked up, while a
transaction waits for its other documents, or while the gathering batch is full. An answer waits in `waiting` until the
version that it shows is durable. `pending` counts both and the undecided writes, and is what the mailbox's bound is about.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, get_args

import msgspec

from palimpsest.actors import commands, joining
from palimpsest.actors.committer import Asker
from palimpsest.actors.stream import Mark, Stream, with_labels
from palimpsest.errors import (
    DocumentNotFound,
    InvalidName,
    LimitExceeded,
    Overloaded,
    PalimpsestError,
    SchemaViolation,
    VersionNotFound,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.protocol.messages import Committed, Create, Delete, Get, Update
from palimpsest.state.lines import Line
from palimpsest.state.record import labels_of
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Event
from palimpsest.words import MAIN, RECORD, Meta, Parents

if TYPE_CHECKING:
    from palimpsest.actors.registry import Registry
    from palimpsest.actors.transaction import Transaction


class Ready(msgspec.Struct, gc=False):
    """Asked from within: answered by the actor itself, once it is awake and everything decided before is durable."""

    id: int
    document: str
    branch: str
    actor: Any = None


Write = Update | Create | Delete | commands.Command
"""commands.Command: with all that are made of it."""
Branched = Get | m.History | m.Revert | m.Undo | m.Label | m.Erase | m.Import
Lookup = Branched | m.Diff | m.Blame | m.Digest
"""What is begun once everything that it may speak of is durable: reads of the past, and writes that need one first."""
Routed = Write | Branched
"""What names its branch itself."""
Request = Write | Lookup | Ready

Identity = str | tuple[str, int]
"""A request id: the caller's own key, or (client id, id)."""

Decisions = Mapping[type, Callable[..., Any]]
"""By the type of a write, what decides it: an event, or nothing for a command that makes none."""

_DECIDE: Decisions = {
    Update: Stream.decide_update,
    Create: Stream.decide_create,
    Delete: Stream.decide_delete,
    **commands.DECIDE,
    **joining.DECIDE,
}

_FREE_OF_SCHEMAS = frozenset((Delete, commands.Remove, commands.Adopt, *joining.SILENT_COMMANDS))
"""What makes no value that a schema could refuse, or one that was there already."""

_DECIDE_ABSENT: Decisions = {
    commands.Remove: commands.DECIDE[commands.Remove],  # what a deleted branch had can be erased
    joining.Begin: joining.DECIDE[joining.Begin],
    joining.Guard: joining.DECIDE[joining.Guard],
}
"""What may be asked of a branch that is not there."""

UNKNOWN: Final[Any] = object()
"""In place of a record that was not read yet."""

Key = str | tuple[str, str]
"""A document's name for its main branch, which most requests speak of; (document, branch) for the others."""


def key_of(document: str, branch: str) -> Key:
    return document if branch == MAIN else (document, branch)


class DocumentActor(Stream):
    """One document branch that is awake, or on its way to be."""

    all: ClassVar[Decisions] = _DECIDE

    __slots__ = (
        "__weakref__",
        "asleep",
        "decisions",
        "durable",
        "followed_as_of",
        "followers",
        "inbox",
        "is_absent",
        "key",
        "line",
        "newest_before",
        "pending",
        "positions",
        "registry",
        "seen",
        "table",
        "used",
        "waiting",
    )

    def __init__(self, document: str, branch: str, registry: Registry) -> None:
        super().__init__(document, branch, registry.limits)
        self.registry = registry
        self.key = key_of(document, branch)
        self.record = UNKNOWN
        self.asleep = True
        """It is not known yet what it is."""
        self.table = self.all
        """What decides for it while it is there."""
        self.decisions = self.table
        self.line: Line | None = None
        """Of a branch other than `main` that is there."""
        self.is_absent = False
        """The document does not have the branch."""
        self.newest_before = 0
        """The newest version that was made under the branch's name before its line began."""
        self.durable = 0
        """The newest durable version; versions after it are decided and invisible."""
        self.inbox: deque[tuple[Any, Asker, int]] | None = deque()
        """What waits for the actor, in order; None while it can decide at once."""
        self.pending = 0
        self.waiting: deque[tuple[int, Asker, Any]] = deque()
        """(version, who asked, what to do once it is durable), in order of version."""
        self.positions: deque[int] = deque()
        """Of this stream's events that were in the tail when they became durable; older ones are dropped in passing."""
        self.seen: dict[Identity, tuple[int, int]] | None = None
        """Requests of the tail and of what is undecided, with (version, at). Built when the first repeat comes."""
        self.used = 0
        """The registry's tick of the last command."""
        self.followers: Any = ()
        """The feed's own: who follows this stream, as of its generation `followed_as_of`."""
        self.followed_as_of = -1

    def be_held(self, by_schemas: bool) -> None:
        """Whether what is written to it is held to a schema."""
        self.table = HELD if by_schemas else self.all
        if not self.is_absent:
            self.decisions = self.table

    # --- the branch ----------------------------------------------------------------------------------------------

    @property
    def newest_own(self) -> int:
        """The newest version that was made under the branch's name; 0: none ever was."""
        line = self.line
        return self.version if line is not None and self.version >= line.first else self.newest_before

    def begin_line(self, line: Line, value: Stream | None) -> None:
        """The branch is there, and has no version of its own yet. value: of its base."""
        self.newest_before = self.newest_own
        self.begin(value, line.first - 1)
        self.due = None if line.base is None else Parents(line.base)
        self.line, self.is_absent, self.decisions = line, False, self.table

    def go_on(self, line: Line, value: Stream | None, newest: int) -> None:
        """The branch is there, and has versions of its own. value: as of the newest."""
        self.begin(value, newest)
        self.due = None
        self.line, self.is_absent, self.decisions = line, False, self.table

    def be_absent(self, value: Stream | None, newest: int) -> None:
        """The branch is not there; value: as of the newest version that was made under its name; None, and 0, where none was."""
        self.begin(value, newest)
        self.line, self.newest_before = None, newest
        self.end_line()

    def end_line(self) -> None:
        """The branch is not there any more."""
        self.newest_before = self.newest_own
        self.line, self.is_absent, self.decisions = None, True, _DECIDE_ABSENT
        self.due = None

    def labelled(self, version: int, meta: Meta | None) -> Meta | None:
        """As a stream's; where the branch has no version of its own yet, of what it starts from."""
        line = self.line
        if line is not None and version < line.first and line.base is not None:
            return with_labels(meta, labels_of(self.record, *line.base))
        return super().labelled(version, meta)

    def mark(self) -> Mark:
        return (*super().mark(), self.line, self.is_absent, self.decisions, self.newest_before, self.durable)

    def restore(self, mark: Mark) -> None:
        *state, self.line, self.is_absent, self.decisions, self.newest_before, self.durable = mark
        super().restore(tuple(state))

    # --- the mailbox ---------------------------------------------------------------------------------------------

    def receive(self, message: Request, asker: Asker, now: int) -> None:
        """Decides, answers, or queues. Raises what the decision raises; then nothing has happened."""
        registry = self.registry
        if self.pending >= registry.mailbox_items_max:
            raise self._overloaded()
        if self.inbox is not None:
            self.enqueue(message, asker, now)
            return
        decide = self.decisions.get(type(message))
        if decide is None:
            self._read(message, asker, now)  # type: ignore[arg-type]
            return
        if registry.refusal is not None:
            raise registry.refusal
        if registry.committer.blocked:
            registry.wait_for_room(self, message, asker, now)  # type: ignore[arg-type]
            return
        if message.repeat or message.key is not None:  # type: ignore[union-attr]
            self._maybe_repeat(message, asker, now)  # type: ignore[arg-type]
            return
        # As `decide`, which is not called here: this is the one way that has to be short.
        event = decide(self, message, asker.client, now)
        self.pending += 1
        registry.committer.add((self, asker, message.id, event), self.delta_bytes)
        if self.seen is not None:
            self._remember(event)

    def enqueue(self, message: Request | Transaction, asker: Asker, now: int) -> None:
        if self.inbox is None:
            self.inbox = deque()
        self.inbox.append((message, asker, now))
        self.pending += 1

    def drain(self) -> None:
        """Works off the inbox, until it is empty or the actor has to wait again. Raises nothing."""
        from_transaction = self.registry.transactions.arrive
        while self.inbox:
            message, asker, now = self.inbox[0]
            if not isinstance(message, _REQUESTS):
                if not from_transaction(self, message):
                    return
                continue
            rest = self.inbox
            rest.popleft()
            self.pending -= 1
            self.inbox = None
            self.registry.guard(self, self.receive, message, asker, now)
            if self.inbox is not None:  # it has to wait again, with the same command or for another reason
                self.inbox.extend(rest)
                return
            self.inbox = rest
        self.inbox = None

    # --- reads ---------------------------------------------------------------------------------------------------

    def _read(self, message: Lookup | Ready, asker: Asker, now: int) -> None:
        if self.is_absent and type(message) is not Ready:
            self.registry.on_absent(self, message, asker, now)
            return
        answer: Any
        if (
            type(message) is Get
            and message.at is None
            and message.tag is None
            and message.version in (None, self.version)
        ):
            try:
                answer = self.view(message.id)
            except DocumentNotFound as error:
                answer = _Refusal(message.id, error)
        elif type(message) is Ready:
            message.actor, answer = self, message
        elif self.version == 0 and type(message) is not m.Import:
            answer = _Refusal(message.id, self._not_found())
        else:
            answer = _Started(self, message, now)  # type: ignore[arg-type]
        if self.durable == self.version:
            self._tell(asker, answer)
        else:
            self.pending += 1
            self.waiting.append((self.version, asker, answer))

    def _tell(self, asker: Asker, answer: Any) -> None:
        if type(answer) is _Refusal:
            asker.fail(answer.id, answer.error)
        elif type(answer) is Ready:
            asker.reply(answer.actor)
        elif type(answer) is _Started:
            self.registry.look_up(answer.actor, answer.message, asker, answer.now)
        else:
            asker.reply(answer)

    # --- what the log says ---------------------------------------------------------------------------------------

    def release(self) -> None:
        """Answers everyone who waited for a version that is durable by now."""
        waiting = self.waiting
        while waiting and waiting[0][0] <= self.durable:
            _, asker, answer = waiting.popleft()
            self.pending -= 1
            self._tell(asker, answer)

    def abandon(self, error: PalimpsestError) -> None:
        """Answers everyone who still waits with error; undecided writes are their committer's to answer."""
        waiting, inbox = self.waiting, self.inbox
        self.waiting, self.inbox = deque(), None
        for _, asker, answer in waiting:
            asker.fail(_id_of(answer), error)
        for message, asker, _ in inbox or ():
            if isinstance(message, _REQUESTS):
                asker.fail(message.id, error)
            else:
                self.registry.transactions.abandon(message, error)
        self.pending = 0

    def tail_positions(self) -> deque[int]:
        """Positions of this stream's events that are in the tail now: of versions durable - len + 1 .. durable."""
        positions, start = self.positions, self.registry.tail.start
        while positions and positions[0] < start:
            positions.popleft()
        return positions

    def is_still(self) -> bool:
        """Nobody waits for it, and nothing of it is undecided."""
        return self.pending == 0 and self.inbox is None and self.durable == self.version

    # --- repeats -------------------------------------------------------------------------------------------------

    def _maybe_repeat(self, message: Write, asker: Asker, now: int) -> None:
        check_key(message.key, self.limits)
        found = self.recall(identity_of(message, asker))
        if found is not None:
            self.answer_repeat(message.id, asker, found)
        elif self.version == 0:
            self.decide(message, asker, now)
        else:
            self.enqueue(message, asker, now)
            self.registry.recall_archived(self, message, asker)

    def settle(self, message: Write, row: Row | None, error: PalimpsestError | None = None) -> None:
        """The archive's word on message, the repeated request at the head of the inbox; row: what that request made, if
        anything. error: the archive could not say. Nothing happens where the message was answered meanwhile."""
        if not self.inbox or self.inbox[0][0] is not message:
            return
        _, asker, now = self.inbox.popleft()
        self.pending -= 1
        if error is not None:
            asker.fail(message.id, error)
        elif row is not None:
            self.answer_repeat(message.id, asker, (row.event.version, row.event.at))
        else:
            self.registry.guard(self, self.decide, message, asker, now)
        self.drain()

    def decide(self, message: Write, asker: Asker, now: int) -> None:
        """Decides a write that is known to be no repeat, also where the gathering batch is full."""
        event = self.decisions[type(message)](self, message, asker.client, now)
        self.pending += 1
        self.registry.committer.add((self, asker, message.id, event), self.delta_bytes)
        if self.seen is not None:
            self._remember(event)

    def recall(self, identity: Identity) -> tuple[int, int] | None:
        """(version, at) of what the request made, as far as memory reaches."""
        if self.seen is None:
            # First what is undecided: asking for it moves what is durable, and was not told of yet, into the tail.
            undecided = self.registry.committer.undecided()
            self.seen = {}
            for position in self.tail_positions():
                self._remember(self.registry.tail.row(position).event)
            for owner, _, _, event in undecided:
                if owner is self:
                    self._remember(event)
        return self.seen.get(identity)

    def answer_repeat(self, id: int, asker: Asker, found: tuple[int, int]) -> None:
        version, at = found
        answer = Committed(id, version, at, True)
        if version <= self.durable:
            asker.reply(answer)
        else:  # a repeat that overtook its original: both are answered by the same commit
            self.pending += 1
            self._wait(version, asker, answer)

    def _wait(self, version: int, asker: Asker, answer: Any) -> None:
        """Keeps `waiting` in order of version."""
        place = len(self.waiting)
        while place and self.waiting[place - 1][0] > version:
            place -= 1
        self.waiting.insert(place, (version, asker, answer))

    def _remember(self, event: Event) -> None:
        assert self.seen is not None
        made = (event.version, event.at)
        if event.key is not None:
            self.seen[event.key] = made
        else:
            self.seen[(event.origin, event.request)] = made

    # --- errors --------------------------------------------------------------------------------------------------

    def _overloaded(self) -> Overloaded:
        maximum = self.registry.mailbox_items_max
        return Overloaded(
            f"the mailbox of {self.document!r} is full: {maximum} commands wait",
            limit="mailbox_items_max",
            maximum=maximum,
        )

    def no_such_version(self, version: int) -> VersionNotFound:
        return VersionNotFound(
            f"{self.document!r} has no version {version}; the newest is {self.durable}",
            document=self.document,
            branch=self.branch,
            version=version,
            newest=self.durable,
        )


def _checked(decide: Callable[..., Event]) -> Callable[..., Event]:
    """As decide; what it makes of the document is then held to what its name promises, or has not happened."""

    def checked(stream: DocumentActor, message: Any, origin: str, now: int, more: int = 0) -> Event:
        mark = stream.mark()
        try:
            event = decide(stream, message, origin, now, more)
            check = stream.registry.check_system
            if stream.exists:
                check(stream.document, stream.value())
            else:
                check(stream.document, None, deleted=True)
        except BaseException:
            stream.restore(mark)
            raise
        return event

    return checked


class SystemActor(DocumentActor):
    """A document of the server's own: what is written to it has to make sense."""

    all: ClassVar[Decisions] = {kind: _checked(decide) for kind, decide in _DECIDE.items()}
    __slots__ = ()


def _held(decide: Callable[..., Event]) -> Callable[..., Event]:
    """As decide; what it makes of the document is then held to the schemas of its name, or has not happened."""

    def held(stream: DocumentActor, message: Any, origin: str, now: int, more: int = 0) -> Event:
        mark = stream.mark()
        try:
            event = decide(stream, message, origin, now, more)
            if stream.exists:
                stream.registry.schemas.check(stream.document, stream.value())
        except BaseException as error:
            stream.restore(mark)
            if isinstance(error, SchemaViolation) and type(message) is commands.Seen:
                raise _unseen(error) from None
            raise
        return event

    return held


def _unseen(error: SchemaViolation) -> SchemaViolation:
    """Without where and why, which may be something that the view does not show."""
    said = f"{error.document!r} would break the schema {error.schema!r}"
    return SchemaViolation(said, document=error.document, schema=error.schema, path="", rule="", reason="")


HELD: Decisions = {kind: decide if kind in _FREE_OF_SCHEMAS else _held(decide) for kind, decide in _DECIDE.items()}
"""What decides for documents that a schema speaks of."""


def _refused(stream: Stream, message: Any, origin: str, now: int, more: int = 0) -> Event:
    reason = f"the branch {stream.branch!r} is written by the server alone"
    raise InvalidName(f"{stream.document!r}: {reason}", name=stream.branch, reason=reason)


class RecordActor(DocumentActor):
    """What is said of a document's versions."""

    all: ClassVar[Decisions] = {
        **dict.fromkeys(_DECIDE, _refused),
        **commands.DECIDE_FOR_RECORDS,
        **joining.DECIDE_FOR_RECORDS,
    }
    __slots__ = ()


def make_actor(document: str, branch: str, registry: Registry) -> DocumentActor:
    """Of the kind that its names ask for. Its branch is one of the constants where there is one: they are told apart by `is`."""
    if branch == RECORD:
        return RecordActor(document, RECORD, registry)
    branch = MAIN if branch == MAIN else branch
    if document.startswith("$"):
        return SystemActor(document, branch, registry)
    actor = DocumentActor(document, branch, registry)
    if registry.schemas.concerns(document):
        actor.be_held(True)
    return actor


_REQUESTS = (*get_args(Write), *get_args(Lookup), Ready)


class _Refusal:
    """An error that is only to be told once what it reveals is durable."""

    __slots__ = ("error", "id")

    def __init__(self, id: int, error: PalimpsestError) -> None:
        self.id = id
        self.error = error


class _Started:
    """A lookup, which starts once the version it was asked at is durable."""

    __slots__ = ("actor", "message", "now")

    def __init__(self, actor: DocumentActor, message: Lookup, now: int) -> None:
        self.actor = actor
        self.message = message
        self.now = now


def _id_of(answer: Any) -> int:
    return answer.message.id if type(answer) is _Started else answer.id


def check_key(key: str | None, limits: Limits) -> None:
    """A request id of the caller's own is kept with its event and in indexes. Raises LimitExceeded."""
    maximum = limits.request_id_characters_max
    if key is not None and len(key) > maximum:
        raise LimitExceeded(
            f"a request id of {len(key)} characters; it may have {maximum}",
            limit="request_id_characters_max",
            maximum=maximum,
            actual=len(key),
        )


def identity_of(message: Any, asker: Asker) -> Identity:
    return message.key if message.key is not None else (asker.client, message.id)
