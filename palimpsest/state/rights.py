"""What a principal may do: decided from its roles alone, and from no document, so that an answer says nothing about what there is.

A grant speaks of documents by patterns. What is asked about a pattern has to be covered by one pattern of one grant. A grant that is bound to
a perspective gives less than one that is not: where both would do, the whole one is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from palimpsest.errors import Forbidden, InvalidRequest
from palimpsest.state.cover import covers
from palimpsest.state.roles import ADMIN, Allowance, Role, larger, patterns_of

_REMEMBERED_MAX = 4_096

OBSERVE = "observe"
EVERYTHING = "**"

SYSTEM = "$"
"""What the server's own names begin with. Who has to do with them needs `admin`."""


class View(msgspec.Struct, frozen=True):
    """What a request is to be answered through. level: of the family of that name."""

    perspective: str
    level: int | None

    def __str__(self) -> str:
        return self.perspective if self.level is None else f"{self.perspective}@{self.level}"


class Rights:
    """Of one principal, as of the roles that there are. Immutable, but for what it remembers."""

    def __init__(self, principal: str, roles: Mapping[str, Role | None], limits: Allowance | None = None) -> None:
        """roles: by name, those that it has; None for one that is not there, which gives nothing."""
        self.principal = principal
        self.roles = frozenset(roles)
        """Their names, those that are not there included."""
        self.is_admin = ADMIN in roles
        """It may do everything."""
        self.limits = limits or Allowance()
        self._whole: list[tuple[str, frozenset[str]]] = []
        self._bound: list[tuple[str, frozenset[str], View]] = []
        self._remembered: dict[tuple[str, str], tuple[bool, tuple[View, ...]]] = {}
        for name, role in roles.items():
            if role is not None and name != ADMIN:
                self._take(role)

    def _take(self, role: Role) -> None:
        self.limits = larger(self.limits, role.limits)
        for grant in role.grants:
            actions = frozenset(grant.actions)
            for pattern in patterns_of(grant):
                if grant.perspective is None:
                    self._whole.append((pattern, actions))
                else:
                    self._bound.append((pattern, actions, View(grant.perspective, grant.level)))

    # --- questions -----------------------------------------------------------------------------------------------

    def may(self, action: str, documents: str) -> bool:
        """Whether the whole of documents, a name or a pattern, is open to action."""
        return self.is_admin or self._look(action, documents)[0]

    def may_somehow(self, action: str, documents: str) -> bool:
        """Whether documents are open to action, as a whole or through a perspective."""
        if self.is_admin:
            return True
        is_whole, views = self._look(action, documents)
        return is_whole or bool(views)

    def require(self, actions: Iterable[str], documents: Iterable[str]) -> None:
        """Raises Forbidden unless each is open as a whole to each of actions."""
        names = tuple(documents)
        for action in actions:
            for name in names:
                if not self.may(action, name):
                    raise forbidden(action, name)

    def decide(self, asked: Sequence[tuple[str, str]]) -> View | None:
        """How a request is answered that names no perspective. asked: pairs of action and name or pattern, at least one.

        None: as it is. Raises Forbidden, and InvalidRequest where the request would have to name a perspective, because several would
        do, or because no single one is what all that it asks about is seen through.
        """
        if self.is_admin:
            return None
        found = [self._look(*pair) for pair in asked]
        if all(is_whole for is_whole, _ in found):
            return None
        for (is_whole, views), (action, name) in zip(found, asked, strict=True):
            if not is_whole and not views:
                raise forbidden(action, name)
        bound = [views for is_whole, views in found if not is_whole]
        common = [view for view in bound[0] if all(view in views for views in bound)]
        if len(common) == 1 and len(bound) == len(found):
            return common[0]
        raise _unclear(sorted(map(str, common)))

    def require_through(self, asked: Sequence[tuple[str, str]], view: View) -> None:
        """Raises Forbidden unless all of asked is open as a whole, or through this perspective, or through a level of it that is at
        least this one."""
        for action, name in asked:
            is_whole, views = (True, ()) if self.is_admin else self._look(action, name)
            if not is_whole and not any(_includes(granted, view) for granted in views):
                raise forbidden(action, name)

    def has_one_of(self, roles: Sequence[str]) -> bool:
        """Whether it has one of roles, or there are none to have."""
        return not roles or self.is_admin or not self.roles.isdisjoint(roles)

    def has_any(self, action: str) -> bool:
        """Whether there is anything at all that is open to action as a whole."""
        return self.is_admin or any(action in actions or ADMIN in actions for _, actions in self._whole)

    # --- inside --------------------------------------------------------------------------------------------------

    def _look(self, action: str, documents: str) -> tuple[bool, tuple[View, ...]]:
        """Whether it is open as a whole, and what it is seen through; of each family the highest level."""
        key = (action, documents)
        found = self._remembered.get(key)
        if found is None:
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            found = self._remembered[key] = self._find(action, documents)
        return found

    def _find(self, action: str, documents: str) -> tuple[bool, tuple[View, ...]]:
        needed = {ADMIN} if documents.startswith(SYSTEM) else {action, ADMIN}
        if any(
            not needed.isdisjoint(actions) and _speaks_of(pattern, action, documents)
            for pattern, actions in self._whole
        ):
            return True, ()
        views: dict[tuple[str, bool], View] = {}
        for pattern, actions, view in self._bound:
            if needed.isdisjoint(actions) or not covers(pattern, documents):
                continue
            key = (view.perspective, view.level is None)
            before = views.get(key)
            if before is None or (before.level or 0) < (view.level or 0):
                views[key] = view
        return False, tuple(views.values())


def _speaks_of(pattern: str, action: str, documents: str) -> bool:
    """Whether a grant for pattern is about them. The server itself, "", is to be observed by who is granted that for everything."""
    return covers(pattern, documents) or (not documents and action == OBSERVE and pattern == EVERYTHING)


def _includes(granted: View, wanted: View) -> bool:
    if granted.perspective != wanted.perspective:
        return False
    if granted.level is None or wanted.level is None:
        return granted.level == wanted.level
    return granted.level >= wanted.level


def forbidden(action: str, documents: str) -> Forbidden:
    """The same whether or not there is such a document. documents: a name or a pattern; "": the whole store."""
    where = repr(documents) if documents else "the whole store"
    return Forbidden(f"no right to {action} {where}", action=action, document=documents)


def _unclear(views: list[str]) -> InvalidRequest:
    if views:
        return InvalidRequest(
            f"this can be asked through {', '.join(views)}: say through which one", reason="perspective"
        )
    return InvalidRequest(
        "what this asks about is not all seen in the same way: ask for it apart, or through one perspective",
        reason="perspective",
    )
