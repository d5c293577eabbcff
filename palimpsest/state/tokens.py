"""Tokens: what a client shows to say who it is, and what is kept of that, in documents under `$system/tokens/`.

A token is `pal_<id>_<secret>`. The id finds its document, which holds a digest of the whole text and not the text: who reads the store
learns no token. The secret has 256 bits, so that a plain digest is enough.
"""

from __future__ import annotations

import hmac
import re
import secrets
from hashlib import sha256
from typing import Any

import msgspec

from palimpsest.errors import InvalidValue
from palimpsest.state.roles import Allowance, check_allowance
from palimpsest.state.values import thaw

_ID_BYTES = 6
_SECRET_BYTES = 32
_ROLES_MAX = 100
_TEXT = re.compile(r"pal_([0-9a-f]{12})_([0-9a-f]{64})")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NOBODYS = sha256(secrets.token_bytes(_SECRET_BYTES)).hexdigest()
"""What the digest of a token whose id is unknown is compared with."""


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is kept. Either digest or certificate is given.

    principal: who shows it. digest: of the token's text, 64 hex digits. certificate: the common name of a client's certificate, which is
    shown in place of a text. created_at, expires_at: microseconds since the epoch; from expires_at on it is good no longer.
    """

    principal: str
    roles: tuple[str, ...] = ()
    digest: str | None = None
    certificate: str | None = None
    created_at: int = 0
    expires_at: int | None = None
    description: str = ""
    limits: Allowance = Allowance()


def make_token() -> tuple[str, str, str]:
    """A new one: (id, text, digest). The text is to be shown once and kept nowhere."""
    id, secret = secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES)
    text = f"pal_{id}_{secret}"
    return id, text, digest_of(text)


def make_id() -> str:
    """A new one, for a certificate."""
    return secrets.token_hex(_ID_BYTES)


def digest_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def id_of(text: str) -> str | None:
    """The id in a token's text; None where it is none."""
    found = _TEXT.fullmatch(text)
    return found[1] if found is not None else None


def is_shown(text: str, token: Token | None) -> bool:
    """Whether text is the text of token. None: no token has its id; that takes as long."""
    known = token.digest if token is not None else None
    is_same = hmac.compare_digest(sha256(text.encode(errors="surrogatepass")).hexdigest(), known or _NOBODYS)
    return is_same and known is not None


def parse_token(value: Any) -> Token:
    """value: of a token's document; frozen or plain. Raises InvalidValue, which holds nothing of the value."""
    try:
        token = msgspec.convert(thaw(value), Token)
    except msgspec.ValidationError as error:
        raise _wrong("", str(error)) from error
    if not token.principal:
        raise _wrong("principal", "it is empty")
    if len(token.roles) > _ROLES_MAX:
        raise _wrong("roles", f"there are more than {_ROLES_MAX}")
    for role in token.roles:
        if not role or "/" in role:
            raise _wrong("roles", "the name of a role is text without `/`")
    if (token.digest is None) == (token.certificate is None):
        raise _wrong("digest", "either it or `certificate` is given")
    if token.digest is not None and _DIGEST.fullmatch(token.digest) is None:
        raise _wrong("digest", "it is 64 hex digits")
    if token.certificate == "":
        raise _wrong("certificate", "it is empty")
    check_allowance("limits", token.limits)
    return token


def to_value(token: Token) -> dict[str, Any]:
    """What `parse_token` takes; what is as by default is left out."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(token))  # lists, and no tuples
    return plain


def _wrong(path: str, reason: str) -> InvalidValue:
    return InvalidValue(f"not a token: {path or 'it'}: {reason}", path=path, reason=reason)
