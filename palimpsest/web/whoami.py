"""Who asks, as the server knows it."""

from __future__ import annotations

import msgspec

from palimpsest.web.operations import Answer, Call, Operation


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """principal: whom the token is of. open: the server asks for no token, and whoever reaches it may do everything."""

    principal: str
    open: bool


async def whoami(call: Call) -> Answer:
    """Also the cheapest way to find out whether a token is good: with one that is not, the answer is 401."""
    await call.client.ping()  # the server is asked, as the token may have been revoked just now
    return Answer(
        Identity(principal=call.client.principal, open=call.client.principal == _ANONYMOUS),
        headers={"Cache-Control": "no-store"},
    )


_ANONYMOUS = "anonymous"
"""What the server calls whoever comes where it asks for no token."""


OPERATIONS = (
    Operation(
        method="GET",
        path="/whoami",
        id="whoAmI",
        summary="Who asks",
        group="operation",
        handler=whoami,
        answers={200: Identity},
    ),
)
