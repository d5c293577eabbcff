"""What a principal that may not do everything is held to: each request is looked at before the partition sees it.

One table says of every message what it asks, as pairs of an action and a name or pattern. Rights are decided from the roles alone,
before anything is looked up, so that a refusal is the same whether or not there is such a document. What a pending merge or a named
subscription is about has to be looked up; whoever has no right to it is told that it is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from palimpsest.actors.committer import Asker
from palimpsest.actors.partition import Partition, Peer
from palimpsest.actors.pending import no_merge
from palimpsest.errors import (
    DocumentNotFound,
    Forbidden,
    PalimpsestError,
    SubscriptionNotFound,
)
from palimpsest.protocol import messages as m
from palimpsest.server.accounts import Account
from palimpsest.server.audit import Audit
from palimpsest.state.lens import Lens
from palimpsest.state.rights import Rights, View, forbidden
from palimpsest.state.system import MERGES, SUBSCRIPTIONS
from palimpsest.state.values import decode_plain
from palimpsest.words import MAIN, Kind

Asked = list[tuple[str, str]]
"""Pairs of an action and a name or pattern; "" is the whole store."""

_PART_ACTIONS = {int(Kind.CREATE): "write", int(Kind.UPDATE): "write", int(Kind.DELETE): "write", m.GUARD: "read"}


def _get(message: m.Get) -> Asked:
    is_past = message.version is not None or message.at is not None or message.tag is not None
    return [("history" if is_past else "read", message.document)]


def _subscribe(message: m.Subscribe) -> Asked:
    return [("subscribe", message.pattern)]


def _transact(message: m.Transact) -> Asked:
    asked = [(_PART_ACTIONS.get(part.kind, "admin"), part.document) for part in message.parts]
    asked += [("branch", part.document) for part in message.parts if part.base is not None]
    asked += [("merge", part.document) for part in message.parts if part.merged]
    if message.at is not None:
        asked += [("admin", part.document) for part in message.parts]
    return asked


def _one(*actions: str) -> Callable[[Any], Asked]:
    return lambda message: [(action, message.document) for action in actions]


def _many(action: str) -> Callable[[Any], Asked]:
    return lambda message: [(action, message.pattern)]


SEEN: dict[type, Callable[[Any], Asked]] = {
    m.Get: _get,
    m.GetMany: lambda message: [("read", document) for document in message.documents],
    m.List: _many("read"),
    m.History: _one("history"),
    m.Diff: _one("history"),
    m.Blame: _one("history"),
    m.Subscribe: _subscribe,
    m.Create: _one("write"),
    m.Update: _one("write"),
    m.Delete: _one("write"),
    m.Transact: _transact,
}
"""What can be asked through a perspective, too."""

WHOLE: dict[type, Callable[[Any], Asked]] = {
    m.Revert: _one("write", "history"),
    m.Undo: _one("write", "history"),
    m.Label: _one("write", "history"),
    m.Digest: _one("history"),
    m.ListBranches: _many("read"),
    m.DeleteBranch: _many("branch"),
    m.Merge: _many("merge"),
    m.Pick: _one("merge"),
    m.Rebase: _one("merge"),
    m.ListMerges: _many("merge"),
    m.Erase: _one("admin"),
    m.Import: _one("admin"),
    m.Prune: _many("admin"),
    m.Measure: _many("admin"),
    m.Backup: lambda message: [("admin", "")],
    m.Observe: lambda message: [("observe", "")],
}
"""What needs a grant that is bound to no perspective."""

MADE: dict[type, Callable[[Any], Asked]] = {m.Branch: _many("branch")}
"""What shows nothing of a document, so that a grant of either kind will do."""

PENDING = (m.Resolve, m.Abandon, m.GetMerge)
"""What names a pending merge; all of its documents have to be open to `merge`."""

NAMED = (m.Ack, m.Nack, m.Redrive, m.DeleteSubscription)
"""What names a subscription; its pattern has to be open to `subscribe`. So for `ListSubscriptions`, of those that it lists."""

FREE = (m.Ping, m.Credit, m.Unsubscribe)
"""What anybody may say."""

_CHOSEN_MIN = 16
_WRITES = (m.Create, m.Update, m.Delete, m.Transact)


class Gate:
    """Of one connection. rights: may be replaced at any time."""

    def __init__(self, partition: Partition, audit: Audit, account: Account, rights: Rights) -> None:
        self.rights = rights
        self.chosen: dict[int, View] = {}
        """Subscriptions that named no perspective, by number, and the one that they were given."""
        self._partition = partition
        self._audit = audit
        self._account = account
        self.routes: dict[type, Callable[[Any, Any, int], None]] = {
            **{kind: partition.routes[kind] for kind in FREE},
            **dict.fromkeys(SEEN, self._careful(self._seen)),
            **dict.fromkeys(WHOLE, self._careful(self._whole)),
            **dict.fromkeys(MADE, self._careful(self._made)),
            **dict.fromkeys(PENDING, self._careful(self._pending)),
            **dict.fromkeys(NAMED, self._careful(self._named)),
            m.ListMerges: self._careful(self._list_merges),
            m.ListSubscriptions: self._careful(self._list_named),
            m.Through: self._careful(self._through),
        }
        """As those of the partition."""

    def check_subscription(self, number: int, pattern: str, view: View | None) -> bool:
        """Whether a subscription is still what its subscriber would be given. view: what it is seen through. Raises Forbidden where
        there is no right to it any more."""
        asked = [("subscribe", pattern)]
        if number not in self.chosen:
            if view is None:
                self.rights.require(("subscribe",), (pattern,))
            else:
                self.rights.require_through(asked, view)
                self._lens(asked, view, is_write=False)
            return True
        return self.rights.decide(asked) == view

    # --- inside --------------------------------------------------------------------------------------------------

    def _careful(self, answer: Callable[[Any, Any, int], None]) -> Callable[[Any, Any, int], None]:
        """answer, which may raise, and is counted among what its principal has under way."""

        def route(message: Any, peer: Peer, now: int) -> None:
            asker: Any = peer
            try:
                if _is_subscribe(message):
                    self._account.check_subscriptions(self.rights.limits)
                else:
                    asker = self._account.owing(peer, self.rights.limits)
                answer(message, asker, now)
            except PalimpsestError as error:
                if isinstance(error, Forbidden):
                    self._audit.refused(self.rights.principal, type(message).__name__, error)
                asker.fail(message.id, error)

        return route

    def _hand_on(self, message: Any, asker: Any, now: int) -> None:
        self._partition.routes[type(message)](message, asker, now)

    def _seen(self, message: Any, asker: Any, now: int) -> None:
        asked = SEEN[type(message)](message)
        view = self.rights.decide(asked) if asked else None
        if view is None:
            self._hand_on(message, asker, now)
            return
        if type(message) is m.Subscribe:
            self._forget_ended(asker)
            self.chosen[message.subscription] = view
        self._show(message, asked, view, asker, now)

    def _through(self, message: m.Through, asker: Any, now: int) -> None:
        request = message.request
        asked = SEEN[type(request)](request)
        if not asked:
            self._hand_on(request, asker, now)
            return
        view = View(message.perspective, message.level)
        self.rights.require_through(asked, view)
        if type(request) is m.Subscribe:
            self.chosen.pop(request.subscription, None)
        self._show(request, asked, view, asker, now)

    def _show(self, request: Any, asked: Asked, view: View, asker: Any, now: int) -> None:
        if type(request) is not m.Get or request.branch != MAIN:
            _check_bound(request, asked)
        lens = self._lens(asked, view, is_write=isinstance(request, _WRITES))
        self._partition.views.route(request, lens, asker, now)

    def _lens(self, asked: Asked, view: View, *, is_write: bool) -> Lens:
        """Raises Forbidden where the perspective names roles, and none of these is had."""
        lens = self._partition.catalog.lens(view.perspective, view.level)
        if not self.rights.has_one_of(lens.writes if is_write else lens.reads):
            raise forbidden(*asked[0])
        return lens

    def _forget_ended(self, peer: Peer) -> None:
        live = {subscription.number for subscription in self._partition.feed.of(peer)}
        if len(self.chosen) > 2 * len(live) + _CHOSEN_MIN:
            self.chosen = {number: view for number, view in self.chosen.items() if number in live}

    def _whole(self, message: Any, asker: Any, now: int) -> None:
        for action, documents in WHOLE[type(message)](message):
            self.rights.require((action,), (documents,))
        self._hand_on(message, asker, now)

    def _made(self, message: Any, asker: Any, now: int) -> None:
        asked = MADE[type(message)](message)
        for action, documents in asked:
            if not self.rights.may_somehow(action, documents):
                raise forbidden(action, documents)
        self._hand_on(message, asker, now)

    def _pending(self, message: Any, asker: Any, now: int) -> None:
        if not self.rights.has_any("merge"):
            raise forbidden("merge", "")

        def go_on(value: Any) -> None:
            if value is None or not all(self.rights.may("merge", name) for name in value["documents"]):
                asker.fail(message.id, no_merge(message.merge))
            else:
                self._hand_on(message, asker, now)

        self._look(MERGES + message.merge, go_on, asker, now)

    def _named(self, message: Any, asker: Any, now: int) -> None:
        if not self.rights.has_any("subscribe"):
            raise forbidden("subscribe", "")

        def go_on(value: Any) -> None:
            if value is None or not self.rights.may("subscribe", value["pattern"]):
                name = message.name
                asker.fail(message.id, SubscriptionNotFound(f"there is no subscription {name!r}", name=name))
            else:
                self._hand_on(message, asker, now)

        self._look(SUBSCRIPTIONS + message.name, go_on, asker, now)

    def _list_merges(self, message: m.ListMerges, asker: Any, now: int) -> None:
        def kept(answer: m.Merges) -> m.Merges:
            merges = [each for each in answer.merges if all(self.rights.may("merge", name) for name in each.documents)]
            return msgspec.structs.replace(answer, merges=tuple(merges))

        self._whole(message, _Sifted(asker, m.Merges, kept), now)

    def _list_named(self, message: m.ListSubscriptions, asker: Any, now: int) -> None:
        if message.name is not None:
            self._named(message, asker, now)
            return
        if not self.rights.has_any("subscribe"):
            raise forbidden("subscribe", "")

        def kept(answer: m.Subscriptions) -> m.Subscriptions:
            items = tuple(each for each in answer.items if self.rights.may("subscribe", each.pattern))
            return msgspec.structs.replace(answer, items=items)

        self._hand_on(message, _Sifted(asker, m.Subscriptions, kept), now)

    def _look(self, document: str, go_on: Callable[[Any], None], asker: Asker, now: int) -> None:
        """go_on: called with the value that document has, or had last; None where there never was one."""

        def on_missing(error: PalimpsestError) -> None:
            if isinstance(error, DocumentNotFound):
                before = (error.version or 0) - 1
                if before < 1:
                    go_on(None)
                    return
                get = m.Get(0, document, version=before)  # it is over, and this may be a repeat of what ended it
                self._hand_on(get, _Looking(asker.client, go_on, lambda _: go_on(None)), now)
            else:
                go_on(None)

        self._hand_on(m.Get(0, document), _Looking(asker.client, go_on, on_missing), now)


class _Looking:
    """Asks for a document, and goes on with its value."""

    __slots__ = ("_go_on", "_on_missing", "client")

    def __init__(
        self, client: str, go_on: Callable[[Any], None], on_missing: Callable[[PalimpsestError], None]
    ) -> None:
        self.client = client
        self._go_on = go_on
        self._on_missing = on_missing

    def committed(self, id: int, version: int, at: int) -> None:
        raise AssertionError("reads only")

    def reply(self, message: object) -> None:
        assert isinstance(message, m.Document)
        self._go_on(decode_plain(message.value))

    def fail(self, id: int, error: PalimpsestError) -> None:
        self._on_missing(error)


class _Sifted:
    """Hears an answer of one kind, and passes on what of it may be seen."""

    __slots__ = ("_asker", "_kept", "_kind", "client")

    def __init__(self, asker: Any, kind: type, kept: Callable[[Any], object]) -> None:
        self.client = asker.client
        self._asker = asker
        self._kind = kind
        self._kept = kept

    def committed(self, id: int, version: int, at: int) -> None:
        self._asker.committed(id, version, at)

    def reply(self, message: object) -> None:
        self._asker.reply(self._kept(message) if type(message) is self._kind else message)

    def fail(self, id: int, error: PalimpsestError) -> None:
        self._asker.fail(id, error)


def _is_subscribe(message: Any) -> bool:
    return type(message.request if type(message) is m.Through else message) is m.Subscribe


def _check_bound(request: Any, asked: Asked) -> None:
    """What is said of versions, on branches of the server's own, is in no perspective's words; and what is made elsewhere cannot be
    taken in through one. Raises Forbidden."""
    places = [getattr(request, name, None) for name in ("a", "b", "place")]
    branches = [place.branch for place in places if place is not None]
    branches += [part.branch for part in getattr(request, "parts", ())]
    branches.append(getattr(request, "branch", ""))
    is_named = type(request) is m.Subscribe and request.name is not None
    is_joined = any(part.base is not None or part.merged for part in getattr(request, "parts", ()))
    if is_named or is_joined or any(branch.startswith("$") for branch in branches):
        raise forbidden(*asked[0])
