"""What is asked through a perspective: the request as anybody would ask it, and the answer in the view's words.

A view is made at most once for each version, encoded once, and kept, within a bound in bytes, until a delta touches something that
it shows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
from msgspec import Raw

from palimpsest.actors.asking import Gathering, Question, internal_error
from palimpsest.actors.building import Builder
from palimpsest.actors.commands import seen
from palimpsest.actors.committer import Asker
from palimpsest.actors.document import DocumentActor, key_of
from palimpsest.actors.insight import PRUNED
from palimpsest.actors.preparing import no_branch
from palimpsest.actors.reading import meets
from palimpsest.actors.registry import Registry
from palimpsest.actors.transaction import SeenTransact
from palimpsest.errors import (
    DocumentNotFound,
    Forbidden,
    InvalidRequest,
    LimitExceeded,
    NotWritable,
    PalimpsestError,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.state.diff import diff
from palimpsest.state.lens import Lens
from palimpsest.state.names import Pattern
from palimpsest.state.ops import Op, Set, decode_delta, encode_delta
from palimpsest.state.touching import touches
from palimpsest.state.tree import NOTHING, Misfit, find
from palimpsest.state.values import decode_value, encode_value, thaw
from palimpsest.storage.events import Event
from palimpsest.words import RECORD, Kind, Parents

_CREATE, _UPDATE, _DELETE, _ERASE = int(Kind.CREATE), int(Kind.UPDATE), int(Kind.DELETE), int(Kind.ERASE)
_NIL = b"\xc0"
_ENTRY_BYTES = 512
"""What a view takes in memory beside its encoded value."""
_ROWS_LOOKED_AT_MAX = 256
"""To find that nothing which a view shows was touched since; after more it is made again."""
_TOGETHER = 64

Around = Callable[[str, str, int, Parents | None], Awaitable[tuple[Any, Any]]]


_Key = tuple[str, str, str, int | None]


class Cache:
    """Encoded views by (view, document, branch, version); in place of a version, None for the newest."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes = self.hits = self.misses = 0
        self.forgotten = 0
        """How often something was: what was read before that is not to be kept any more."""
        self._bytes_max = bytes_max
        self._found: OrderedDict[_Key, tuple[int, bytes]] = OrderedDict()
        self._of: dict[str, set[_Key]] = {}
        """By document."""

    def get(self, lens: Lens, document: str, branch: str, version: int | None) -> tuple[int, bytes] | None:
        """The version that it was made of, and the view."""
        key = (lens.digest, document, branch, version)
        found = self._found.get(key)
        if found is not None:
            self._found.move_to_end(key)
        return found

    def put(self, lens: Lens, document: str, branch: str, version: int | None, made_of: int, view: bytes) -> None:
        key = (lens.digest, document, branch, version)
        self._drop(key)
        self._found[key] = (made_of, view)
        self._of.setdefault(document, set()).add(key)
        self.bytes += len(view) + _ENTRY_BYTES
        while self.bytes > self._bytes_max:
            self._drop(next(iter(self._found)))

    def forget(self, document: str) -> None:
        """Something was erased from it, or one of its branches is not what it was."""
        self.forgotten += 1
        for key in list(self._of.get(document, ())):
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        found = self._found.pop(key, None)
        if found is None:
            return
        self.bytes -= len(found[1]) + _ENTRY_BYTES
        keys = self._of[key[1]]
        keys.discard(key)
        if not keys:
            del self._of[key[1]]


class Views:
    """Answers through lenses. `route` raises nothing; the asker hears."""

    def __init__(
        self,
        registry: Registry,
        builder: Builder,
        limits: Limits,
        routes: dict[type, Callable[[Any, Any, int], None]],
        start_answer: Callable[[int, Asker, Callable[[], Awaitable[object]]], None],
        subscribe: Callable[[m.Subscribe, Any, Lens], None],
        around: Around,
    ) -> None:
        """routes: for requests as anybody asks them. around: see `making`."""
        self.cache = Cache(limits.view_cache_bytes_max)
        self._erased_at = registry.tail.end - 1
        """The position of the newest erasure that there is, or may be. Until it is archived, what is read of the past may hold what
        is to be gone."""
        self._registry = registry
        self._builder = builder
        self._limits = limits
        self._whole = routes
        self._start_answer = start_answer
        self._subscribe_to = subscribe
        self._around = around
        self._routes: dict[type, Callable[[Any, Lens, Any, int], None]] = {
            m.Get: self._get,
            m.GetMany: self._get_many,
            m.List: self._list,
            m.History: self._history,
            m.Diff: self._diff,
            m.Blame: self._blame,
            m.Subscribe: self._subscribe,
            m.Update: self._write,
            m.Create: self._write,
            m.Delete: self._write,
            m.Transact: self._transact,
        }

    def route(self, request: Any, lens: Lens, peer: Any, now: int) -> None:
        handle = self._routes.get(type(request))
        try:
            if handle is None:
                raise Forbidden(
                    "this cannot be asked through a perspective", action=type(request).__name__.lower(), document=""
                )
            handle(request, lens, peer, now)
        except PalimpsestError as error:
            peer.fail(request.id, error)
        except Exception as error:
            peer.fail(request.id, internal_error(request.id, error))

    async def ask(self, lens: Lens, request: m.Get) -> m.Document:
        """From within. Raises what its caller would be answered."""
        question = Question()
        self.route(request, lens, question, 0)
        answer = await question.result()
        assert isinstance(answer, m.Document)
        return answer

    def on_durable(self, position: int, event: Event) -> None:
        """Called before anybody is told of the event."""
        if event.kind == _ERASE:
            self._erased_at = position
            self.cache.forget(event.document)
        elif event.branch == RECORD:  # another branch may have the name, and the numbers, of one that was looked at
            self.cache.forget(event.document)

    def mark(self) -> int:
        """For `shown`, before the document is asked for."""
        return self.cache.forgotten if self._registry.tail.start > self._erased_at else -1

    def statistics(self) -> dict[str, int]:
        cache = self.cache
        return {"view_hits": cache.hits, "view_misses": cache.misses, "view_cache_bytes": cache.bytes}

    # --- single documents ----------------------------------------------------------------------------------------

    def _get(self, request: m.Get, lens: Lens, peer: Asker, now: int) -> None:
        registry, document, branch = self._registry, request.document, request.branch
        actor = registry.actors.get(key_of(document, branch))
        if actor is not None and _is_plain(request) and _is_settled(actor) and actor.exists:
            kept = self.cache.get(lens, document, branch, None)
            if kept is not None and kept[0] == actor.version:  # so that the lens is for it, too
                self.cache.hits += 1
                actor.used = registry.tick
                peer.reply(_shown(actor, request.id, kept[1]))
                return
        _check_is_for(lens, document, branch)
        if actor is not None and _is_plain(request) and _is_settled(actor) and actor.exists:
            actor.used = registry.tick
            peer.reply(_shown(actor, request.id, self._newest(actor, lens)))
        else:
            registry.route(request, _Looking(peer, self, lens), now)

    def _newest(self, actor: DocumentActor, lens: Lens) -> bytes:
        """The view of the newest version, which is durable."""
        document, branch, version = actor.document, actor.branch, actor.version
        kept = self.cache.get(lens, document, branch, None)
        if kept is not None and self._is_untouched(actor, lens, kept[0]):
            self.cache.hits += 1
            view = kept[1]
        else:
            self.cache.misses += 1
            view = encode_view(lens.view(actor.value()))
        self.cache.put(lens, document, branch, None, version, view)
        return view

    def _is_untouched(self, actor: DocumentActor, lens: Lens, since: int) -> bool:
        count = actor.version - since
        if not 0 < count <= _ROWS_LOOKED_AT_MAX:
            return False
        rows = self._builder.tail_rows(actor.document, actor.branch, since + 1, actor.version)
        return len(rows) == count and not any(
            row.event.kind != _UPDATE or lens.concerns(decode_delta(row.event.delta)) for row in rows
        )

    def shown(self, found: m.Document, lens: Lens, mark: int) -> m.Document:
        """A document as it was answered, in the view's words. mark: of when it was asked for."""
        kept = self.cache.get(lens, found.document, found.branch, found.version)
        if kept is None:
            self.cache.misses += 1
            view = encode_view(lens.view(decode_value(found.value)))
            if mark == self.cache.forgotten:
                self.cache.put(lens, found.document, found.branch, found.version, found.version, view)
        else:
            self.cache.hits += 1
            view = kept[1]
        return msgspec.structs.replace(found, kind=_kind(found.kind), value=Raw(view), meta=None)

    def _get_many(self, request: m.GetMany, lens: Lens, peer: Asker, now: int) -> None:
        maximum = self._limits.page_items_max
        if len(request.documents) > maximum:
            raise LimitExceeded(
                f"{len(request.documents)} documents at once; page_items_max is {maximum}",
                limit="page_items_max",
                maximum=maximum,
                actual=len(request.documents),
            )
        if not request.documents:
            peer.reply(m.Documents(request.id, ()))
            return
        gathering = Gathering(request.id, peer, len(request.documents), self._limits)

        async def gather() -> None:
            for index, name in enumerate(request.documents):
                if index % _TOGETHER == _TOGETHER - 1:
                    await anyio.lowlevel.checkpoint()  # nobody else waits for a large batch
                self.route(m.Get(index, name, request.branch), lens, gathering, now)

        self._registry_job(request.id, peer, gather)

    def _registry_job(self, id: int, peer: Asker, job: Callable[[], Awaitable[None]]) -> None:
        self._start_answer(id, _Mute(peer), job)

    # --- names ---------------------------------------------------------------------------------------------------

    def _list(self, request: m.List, lens: Lens, peer: Asker, now: int) -> None:
        Pattern.parse(request.pattern)
        _check_branch(request.branch, request.pattern)
        self._start_answer(request.id, peer, lambda: self.names(request, lens, peer.client, now))

    async def names(self, request: m.List, lens: Lens, client: str = "", now: int = 0) -> m.Names:
        """One page, with at least one name unless there is none."""
        limit = min(request.limit, self._limits.page_items_max)
        if limit > 0:
            request = msgspec.structs.replace(
                request, limit=self._limits.page_items_max
            )  # names that are not shown are passed by
        while True:
            question = Question(client)
            self._whole[m.List](request, question, now)
            answer = await question.result()
            assert isinstance(answer, m.Names)
            found = tuple(name for name in answer.names if lens.is_for(name))
            if found or not answer.more:
                return msgspec.structs.replace(answer, names=found[:limit], more=answer.more or len(found) > limit)
            request = msgspec.structs.replace(request, after=answer.names[-1])

    # --- the past ------------------------------------------------------------------------------------------------

    def _history(self, request: m.History, lens: Lens, peer: Asker, now: int) -> None:
        _check_is_for(lens, request.document, request.branch)
        self._start_answer(request.id, peer, lambda: self._versions(request, lens, peer.client, now))

    async def _versions(self, request: m.History, lens: Lens, client: str, now: int) -> m.Versions:
        """The conditions are looked at here: where a page of those that meet them ends would tell who made what is not shown."""
        question = Question(client)
        plain = msgspec.structs.replace(request, by=None, tags=(), tags_all=(), path=None)
        self._whole[m.History](plain, question, now)
        answer = await question.result()
        assert isinstance(answer, m.Versions)
        entries = []
        for entry in answer.entries:
            if not meets(entry.meta, request.by, request.tags, request.tags_all):
                continue
            delta = await self._delta(request.document, entry.branch or request.branch, entry, lens)
            if delta is not None and (request.path is None or touches(delta[1], request.path)):
                kind, ops = delta
                entries.append(msgspec.structs.replace(entry, kind=kind, delta=Raw(encode_delta(ops)), request=None))
        return msgspec.structs.replace(answer, entries=tuple(entries))

    async def _delta(self, document: str, branch: str, entry: m.Entry, lens: Lens) -> tuple[int, list[Op]] | None:
        ops = decode_delta(entry.delta)
        if entry.kind == _UPDATE and not lens.concerns(ops):
            return None
        before, after = await self._around(document, branch, entry.version, entry.parents)
        return view_delta(lens, entry.kind, before, after)

    def _diff(self, request: m.Diff, lens: Lens, peer: Asker, now: int) -> None:
        _check_is_for(lens, request.document, request.a.branch)
        _check_branch(request.b.branch, request.document)
        self._start_answer(request.id, peer, lambda: self._differences(request, lens, peer.client, now))

    async def _differences(self, request: m.Diff, lens: Lens, client: str, now: int) -> m.Differences:
        found = [await self._at(request.document, place, client, now) for place in (request.a, request.b)]
        views = [_or_null(lens.view(decode_value(document.value))) for document in found]
        versions = (found[0].version, found[1].version)
        return m.Differences(request.id, *versions, Raw(encode_delta(diff(views[0], views[1]))))

    async def _at(self, document: str, place: m.Place, client: str, now: int) -> m.Document:
        question = Question(client)
        what = (place.branch, place.version, place.at, place.tag)
        self._registry.route(m.Get(0, document, *what), question, now)
        answer = await question.result()
        assert isinstance(answer, m.Document)
        return answer

    def _blame(self, request: m.Blame, lens: Lens, peer: Asker, now: int) -> None:
        _check_is_for(lens, request.document, request.place.branch)
        self._start_answer(request.id, peer, lambda: self._blamed(request, lens, peer.client, now))

    async def _blamed(self, request: m.Blame, lens: Lens, client: str, now: int) -> m.Blamed:
        found = await self._at(request.document, request.place, client, now)
        view = _or_null(lens.view(decode_value(found.value)))
        try:
            find(view, request.path)
        except Misfit as misfit:
            raise DocumentNotFound(
                f"version {found.version} of {request.document!r} has nothing there: {misfit.detail}",
                document=request.document,
                branch=request.place.branch,
                version=found.version,
            ) from None
        question = Question(client)
        place = m.Place(request.place.branch, found.version)
        self._whole[m.Blame](m.Blame(request.id, request.document, place, ()), question, now)
        try:
            answer = await question.result()
        except LimitExceeded as error:  # how much there is, is not for the view to say
            said = f"{request.document!r} is too large for its authors to be told at once"
            raise LimitExceeded(said, limit=error.limit, maximum=error.maximum, actual=None) from None
        assert isinstance(answer, m.Blamed)
        inside = len(request.path)
        shown = [
            (path, entry)
            for path, entry in lens.blamed(answer.paths)
            if path[:inside] == request.path or request.path[: len(path)] == path
        ]
        used = sorted({entry for _, entry in shown})
        entries = tuple(msgspec.structs.replace(answer.entries[entry], request=None) for entry in used)
        paths = tuple((path, used.index(entry)) for path, entry in shown)
        return msgspec.structs.replace(answer, paths=paths, entries=entries)

    # --- what goes on --------------------------------------------------------------------------------------------

    def _subscribe(self, request: m.Subscribe, lens: Lens, peer: Any, now: int) -> None:
        exact = Pattern.parse(request.pattern).exact
        if exact is not None:
            _check_is_for(lens, exact, request.branch)
        _check_branch(request.branch, request.pattern)
        self._subscribe_to(request, peer, lens)

    def _write(self, request: Any, lens: Lens, peer: Asker, now: int) -> None:
        if not lens.is_for(request.document) or request.branch.startswith("$"):
            raise _unwritable(request.document, lens)
        self._registry.route(seen(lens, request), peer, now)

    def _transact(self, request: m.Transact, lens: Lens, peer: Asker, now: int) -> None:
        if request.at is not None:
            raise InvalidRequest("a time of its own is for those who take over a history", reason="at")
        for part in request.parts:
            if not lens.is_for(part.document) or part.branch.startswith("$"):
                raise _unwritable(part.document, lens)
            if part.base is not None or part.merged:
                raise InvalidRequest(
                    "where a branch starts, and what it takes in, is not for a view to say", reason="base"
                )
        self._registry.transactions.ask(SeenTransact(**msgspec.structs.asdict(request), lens=lens), peer, now)


class _Looking:
    """Asks for a document on behalf of one who sees it through a lens."""

    __slots__ = ("_lens", "_mark", "_peer", "_views", "client")

    def __init__(self, peer: Asker, views: Views, lens: Lens) -> None:
        self.client = peer.client
        self._peer = peer
        self._views = views
        self._lens = lens
        self._mark = views.mark()

    def committed(self, id: int, version: int, at: int) -> None:
        raise AssertionError("reads only")

    def reply(self, message: object) -> None:
        assert isinstance(message, m.Document)
        self._peer.reply(self._views.shown(message, self._lens, self._mark))

    def fail(self, id: int, error: PalimpsestError) -> None:
        self._peer.fail(id, error)


class _Mute:
    """A job that answers by itself has nothing to reply; what it raises is told."""

    __slots__ = ("_peer", "client")

    def __init__(self, peer: Asker) -> None:
        self.client = peer.client
        self._peer = peer

    def committed(self, id: int, version: int, at: int) -> None:
        pass

    def reply(self, message: object) -> None:
        pass

    def fail(self, id: int, error: PalimpsestError) -> None:
        self._peer.fail(id, error)


def encode_view(view: Any) -> bytes:
    return _NIL if view is NOTHING else encode_value(view)


def view_delta(lens: Lens, kind: int, before: Any, after: Any) -> tuple[int, list[Op]] | None:
    """The kind and the ops of a version as the view has it; before, after: frozen, NOTHING where the document did not exist, PRUNED where
    what it was is not kept any more: then all of the view is set. None: the view is the same."""
    if after is NOTHING:
        return None if before is NOTHING else (_DELETE, [])
    new = _or_null(lens.view(after))
    if before is NOTHING:
        return _CREATE, [Set((), thaw(new))]
    if before is PRUNED:
        return _kind(kind), [Set((), thaw(new))]
    old = _or_null(lens.view(before))
    ops = [] if old is new else diff(old, new)
    return (_kind(kind), ops) if ops else None


def _or_null(view: Any) -> Any:
    return None if view is NOTHING else view


def _kind(kind: int) -> int:
    """As the view has it: that something was erased does not say that it was shown."""
    return _UPDATE if kind == _ERASE else kind


def _shown(actor: DocumentActor, id: int, view: bytes) -> m.Document:
    """The newest version, which may have changed nothing in the view: so nothing is said of who made it and why."""
    what = (actor.document, actor.branch, actor.version, _kind(actor.kind), actor.at)
    return m.Document(id, *what, Raw(view), None)


def _is_plain(request: m.Get) -> bool:
    return request.version is None and request.at is None and request.tag is None


def _is_settled(actor: DocumentActor) -> bool:
    """Its newest version is durable, and nothing waits to be decided."""
    return not actor.asleep and not actor.is_absent and actor.inbox is None and actor.durable == actor.version


def _check_is_for(lens: Lens, document: str, branch: str) -> None:
    if not lens.is_for(document):
        raise _hidden(document, branch)
    _check_branch(branch, document)


def _check_branch(branch: str, document: str) -> None:
    """What is kept of a document beside its value is on branches of the server's own: no view has them."""
    if branch.startswith("$"):
        raise no_branch(document, branch)


def _hidden(document: str, branch: str) -> DocumentNotFound:
    """As of a document that never was."""
    return DocumentNotFound(f"there is no document {document!r}", document=document, branch=branch, version=None)


def _unwritable(document: str, lens: Lens) -> Forbidden:
    return NotWritable(
        f"{document!r} cannot be written through {lens.name!r}",
        action="write",
        document=document,
        perspective=lens.name,
        path="",
    )
