"""Tokens and roles: documents of the server's, which say who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from palimpsest.client.named import Named
from palimpsest.client.paged import Paged
from palimpsest.client.results import Version
from palimpsest.clock import SystemClock, to_datetime, to_microseconds
from palimpsest.errors import InvalidRequest
from palimpsest.state.roles import ADMIN, Allowance, Role, parse_role
from palimpsest.state.roles import to_value as role_value
from palimpsest.state.system import ROLES, TOKENS
from palimpsest.state.tokens import Token, make_id, make_token, parse_token
from palimpsest.state.tokens import to_value as token_value

if TYPE_CHECKING:
    from palimpsest.client.client import Client


class TokenInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token; its text is known to nobody but who has it. certificate: the common name of the client's certificate that
    stands in for a text; None for other tokens."""

    id: str
    principal: str
    roles: tuple[str, ...]
    certificate: str | None
    created_at: datetime
    expires_at: datetime | None
    description: str
    limits: Allowance

    def is_good(self, now: datetime) -> bool:
        return self.expires_at is None or now < self.expires_at


class NewToken(TokenInfo, frozen=True, kw_only=True):
    """text: to be kept by whoever is to show it; it cannot be had again. None where a certificate stands in for it."""

    text: str | None

    def __repr__(self) -> str:
        return f"NewToken(id={self.id!r}, principal={self.principal!r}, text=...)"  # what is logged is no secret


class Tokens:
    """`client.tokens`. Each is the document `$system/tokens/<id>`, which holds a digest of the token's text.

    While there is none, the server is open to all that reach it. All of this needs the right to `admin`.
    """

    def __init__(self, client: Client) -> None:
        self._named = Named(client, TOKENS, "token")

    async def create(
        self,
        principal: str,
        *,
        roles: Iterable[str],
        expires: datetime | timedelta | None = None,
        certificate: str | None = None,
        limits: Allowance | None = None,
        description: str = "",
        by: str | None = None,
    ) -> NewToken:
        """principal: who is to show it. roles: by name; one that is not there gives nothing until it is. expires: when, or in how long,
        it is good no longer; None: never. certificate: in place of a text, a client's certificate with this common name.

        With the first token the server is closed to all who have none, this client included unless it connects again with one. So the
        first has to have the role `admin`, and no end: InvalidRequest otherwise. Raises InvalidValue for what makes no sense.
        """
        if isinstance(roles, str):
            raise InvalidRequest("roles are several names, not one text", reason="roles")
        now = SystemClock().now()
        id, text, digest = (make_id(), None, None) if certificate is not None else make_token()
        token = Token(
            principal=principal,
            roles=tuple(dict.fromkeys(roles)),
            digest=digest,
            certificate=certificate,
            created_at=now,
            expires_at=_expiry(expires, now),
            description=description,
            limits=limits or Allowance(),
        )
        value = token_value(token)
        parse_token(value)
        if (ADMIN not in token.roles or token.expires_at is not None) and not [each async for each in self.list()]:
            raise InvalidRequest(
                "the first token needs the role admin, and no end: nobody else could make another one", reason="roles"
            )
        await self._named.client.create(self._named.document(id), value, by=by)
        return NewToken(text=text, **_fields(id, token))

    async def revoke(
        self, id: str, *, last: bool = False, by: str | None = None, description: str | None = None
    ) -> Version:
        """The token is good no longer, and connections that have shown it are ended. last: even though nobody who is left could make
        another one; InvalidRequest otherwise. With the very last, the server is open again. Raises DocumentNotFound.
        """
        now = to_datetime(SystemClock().now())
        document = self._named.document(id)
        await self._named.value(id)
        if not last:
            others = [token async for token in self.list() if token.id != id and token.is_good(now)]
            if not any(ADMIN in token.roles for token in others):
                raise InvalidRequest(
                    "no other token with the role admin is left (last: revoke it anyway)", reason="last"
                )
        return await self._named.client.delete(document, by=by, description=description)

    def list(self) -> AsyncIterator[TokenInfo]:
        """All of them, by id, those that have expired included."""
        return Paged(self._named.pages(_info))


class Roles:
    """`client.roles`. Each is the document `$system/roles/<name>`, with a history like any other.

    A change of one holds at once, for connections and subscriptions that are open, too. All of this needs the right to `admin`.
    """

    def __init__(self, client: Client) -> None:
        self._named = Named(client, ROLES, "role")

    async def put(self, name: str, role: Role, *, by: str | None = None, description: str | None = None) -> Version:
        """The role of that name is this one from now on. Raises InvalidValue, which points at the place that makes no sense, or
        InvalidName."""
        if not isinstance(role, Role):
            raise InvalidRequest(f"a role is a Role, not a {type(role).__name__}", reason="role")
        self._named.document(name)
        value = role_value(role)
        parse_role(value)
        return await self._named.put(name, value, by=by, description=description)

    async def get(self, name: str) -> Role:
        """Raises DocumentNotFound where there is none of that name."""
        return parse_role(await self._named.value(name))

    async def delete(self, name: str, *, by: str | None = None, description: str | None = None) -> Version:
        """It gives nothing any more to those who have it. Raises DocumentNotFound."""
        return await self._named.delete(name, by=by, description=description)

    def list(self) -> AsyncIterator[tuple[str, Role]]:
        """All of them with their names, in the order of these; not `admin`, which is always there."""
        return Paged(self._named.pages(lambda name, value: (name, parse_role(value))))


def _info(id: str, value: Any) -> TokenInfo:
    return TokenInfo(**_fields(id, parse_token(value)))


def _fields(id: str, token: Token) -> dict[str, Any]:
    return {
        "id": id,
        "principal": token.principal,
        "roles": token.roles,
        "certificate": token.certificate,
        "created_at": to_datetime(token.created_at),
        "expires_at": None if token.expires_at is None else to_datetime(token.expires_at),
        "description": token.description,
        "limits": token.limits,
    }


def _expiry(expires: datetime | timedelta | None, now: int) -> int | None:
    """In microseconds since the epoch. Raises InvalidRequest for a time that has passed."""
    if expires is None:
        return None
    if isinstance(expires, timedelta):
        at = now + expires // timedelta(microseconds=1)
    elif isinstance(expires, datetime) and expires.tzinfo is not None:
        at = to_microseconds(expires)
    else:
        raise InvalidRequest("a time needs a zone, or is a duration", reason="expires")
    if at <= now:
        raise InvalidRequest("a token that has expired already", reason="expires")
    return at
