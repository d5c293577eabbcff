"""Who is who: what a connection may do, from its token or certificate, and what becomes of it when roles and tokens change.

The documents under `$system/roles/` and `$system/tokens/` are all there is to it. The catalog has them in memory, as of what is durable,
and says of each change before the feed hands on what came with it: so a right that was taken away is gone for the very next change.
While there is no token at all, the server is open: whoever reaches it is `anonymous` and may do everything, and it is to be reached
from its own machine only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from palimpsest.actors.partition import Partition
from palimpsest.clock import Clock
from palimpsest.errors import PalimpsestError, Unauthenticated, ViewChanged
from palimpsest.logs import get_logger
from palimpsest.server.accounts import Account
from palimpsest.server.audit import Audit
from palimpsest.server.gate import Gate
from palimpsest.state.perspectives import PERSPECTIVES
from palimpsest.state.rights import Rights, View
from palimpsest.state.roles import ADMIN, Allowance, Role, parse_role
from palimpsest.state.system import ROLES, TOKENS
from palimpsest.state.tokens import Token, id_of, is_shown, parse_token

if TYPE_CHECKING:
    from palimpsest.server.session import Session

log = get_logger("palimpsest.server")

ANONYMOUS = "anonymous"
NEVER = 2**63
_NO_BOUNDS = Allowance()


class Identity(msgspec.Struct, frozen=True):
    """Who a connection is. token: the id of what it has shown; None where nothing had to be. digest, certificate: as of then."""

    principal: str
    token: str | None = None
    digest: str | None = None
    certificate: str | None = None


class Access:
    """Of one server. is_local: it is to be reached from its own machine only. principal_of: who a client id belongs to."""

    def __init__(
        self, partition: Partition, clock: Clock, *, is_local: bool, principal_of: Callable[[str], str]
    ) -> None:
        self.audit = Audit(partition, clock, principal_of)
        self._partition = partition
        self._clock = clock
        self._is_local = is_local
        self._roles: dict[str, Role] = {}
        self._tokens: dict[str, Token] = {}
        self._known: set[str] = set()
        """Ids of all tokens, those that do not parse included: a server that has one is not open."""
        self._accounts: dict[str, Account] = {}
        self._members: dict[Session, Identity] = {}
        for name in partition.catalog.values:
            self._take(name)
        partition.catalog.watch(self._on_change)

    @property
    def is_open(self) -> bool:
        """Whether there is no token."""
        return not self._known

    # --- coming and going ----------------------------------------------------------------------------------------

    def identify(self, token: str | None, certificate: str | None) -> Identity:
        """Who shows this. certificate: the common name of one that was verified; a token counts for more.

        Raises Unauthenticated, in the same words whatever is wrong.
        """
        if self.is_open and self._is_local:
            return Identity(ANONYMOUS)
        found = self._by_text(token) if token is not None else self._by_certificate(certificate)
        if found is None or not self._is_good(self._tokens[found]):
            self.audit.turned_away()
            raise Unauthenticated("a token is needed here, and one that is good")
        known = self._tokens[found]
        return Identity(known.principal, found, known.digest, known.certificate)

    def enter(self, session: Session, identity: Identity) -> None:
        """session is let in, and gets its rights. Raises TooManyConnections."""
        rights = self._rights(identity)
        account = self._account(identity.principal)
        account.check_connections(rights.limits)
        account.connections += 1
        self._members[session] = identity
        session.principal = identity.principal
        self._give(session, identity, rights)

    def leave(self, session: Session) -> None:
        """session is gone, or about to be. May be called again."""
        identity = self._members.pop(session, None)
        if identity is not None:
            self._accounts[identity.principal].connections -= 1

    def expire(self, session: Session) -> None:
        """The time of session's token has come."""
        self._turn_out(session)

    # --- changes -------------------------------------------------------------------------------------------------

    def _on_change(self, document: str) -> None:
        was_open = self.is_open
        self._take(document)
        if document.startswith(ROLES):
            self.audit.changed(document)
            self._renew(lambda session: document.removeprefix(ROLES) in session.rights.roles)
        elif document.startswith(TOKENS):
            self.audit.changed(document)
            id = document.removeprefix(TOKENS)
            if was_open and not self.is_open:
                log.info("closed", reason="there is a token now: whoever has none is turned away")
            elif self.is_open and not was_open:
                log.warning("open", reason="the last token is gone: whoever reaches this server may do everything")
            self._renew(lambda session: self._members[session].token in (None, id))
        elif document.startswith(PERSPECTIVES):
            for session in list(self._members):
                self._look_at_subscriptions(session)

    def _take(self, document: str) -> None:
        """What the catalog says of document now."""
        value = self._partition.catalog.values.get(document)
        is_there = document in self._partition.catalog.values
        try:
            if document.startswith(ROLES):
                name = document.removeprefix(ROLES)
                self._roles.pop(name, None)
                if is_there:
                    self._roles[name] = parse_role(value)
            elif document.startswith(TOKENS):
                id = document.removeprefix(TOKENS)
                self._tokens.pop(id, None)
                self._known.discard(id)
                if is_there:
                    self._known.add(id)
                    self._tokens[id] = parse_token(value)
        except PalimpsestError as error:  # written by another release, or before it was checked
            log.warning("system_document_refused", document=document, reason=error.message)

    def _renew(self, concerns: Callable[[Session], bool]) -> None:
        for session in [session for session in self._members if concerns(session)]:
            identity = self._members[session]
            if not self._still_holds(identity):
                self._turn_out(session)
            else:
                self._give(session, identity, self._rights(identity))
                self._look_at_subscriptions(session)

    def _still_holds(self, identity: Identity) -> bool:
        if identity.token is None:
            return self.is_open
        token = self._tokens.get(identity.token)
        if token is None or not self._is_good(token) or token.principal != identity.principal:
            return False
        return (token.digest, token.certificate) == (identity.digest, identity.certificate)

    def _turn_out(self, session: Session) -> None:
        for subscription in self._partition.feed.of(session):
            error = Unauthenticated("the token is not good any more")
            self._partition.feed.end(subscription, error)
        session.close(Unauthenticated("a token is needed here, and one that is good"))

    def _look_at_subscriptions(self, session: Session) -> None:
        """Ends what session has no right to any more, or would see otherwise now."""
        feed, gate = self._partition.feed, session.gate
        if gate is None:
            return
        for subscription in feed.of(session):
            lens = subscription.lens
            view = None if lens is None else View(lens.name, lens.level)
            try:
                if not gate.check_subscription(subscription.number, subscription.pattern.text, view):
                    name = view.perspective if view is not None else ""
                    raise ViewChanged("the right to what is followed has changed", cursor="", perspective=name)
            except PalimpsestError as error:
                feed.end(subscription, error)

    # --- inside --------------------------------------------------------------------------------------------------

    def _give(self, session: Session, identity: Identity, rights: Rights) -> None:
        session.rights = rights
        token = self._tokens.get(identity.token) if identity.token is not None else None
        session.expires_at = NEVER if token is None or token.expires_at is None else token.expires_at
        session.account = account = self._account(identity.principal)
        if session.gate is not None:
            session.gate.rights = rights
        elif not _is_free(rights):
            session.gate = Gate(self._partition, self.audit, account, rights)
        session.routes = self._partition.routes if _is_free(rights) or session.gate is None else session.gate.routes

    def _rights(self, identity: Identity) -> Rights:
        if identity.token is None:
            return Rights(identity.principal, {ADMIN: None})
        token = self._tokens[identity.token]
        return Rights(identity.principal, {name: self._roles.get(name) for name in token.roles}, token.limits)

    def _account(self, principal: str) -> Account:
        account = self._accounts.get(principal)
        if account is None:
            account = self._accounts[principal] = Account(lambda: self._subscriptions(principal))
        return account

    def _subscriptions(self, principal: str) -> int:
        feed = self._partition.feed
        return sum(
            len(feed.of(session)) for session, identity in self._members.items() if identity.principal == principal
        )

    def _by_text(self, text: str) -> str | None:
        id = id_of(text)
        token = self._tokens.get(id) if id is not None else None
        return id if is_shown(text, token) else None

    def _by_certificate(self, name: str | None) -> str | None:
        if name is None:
            return None
        return next((id for id, token in sorted(self._tokens.items()) if token.certificate == name), None)

    def _is_good(self, token: Token) -> bool:
        return token.expires_at is None or self._clock.now() < token.expires_at


def _is_free(rights: Rights) -> bool:
    """Whether nothing has to be looked at: requests go to the partition directly."""
    return rights.is_admin and rights.limits == _NO_BOUNDS
