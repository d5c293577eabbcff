"""`token`: who may connect."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from palimpsest.cli.options import AsJson, By, Description
from palimpsest.cli.output import console, json_time, print_json, print_made, readable_time, remark
from palimpsest.cli.session import ask_server
from palimpsest.cli.times import parse_duration, parse_time
from palimpsest.client import Client, TokenInfo
from palimpsest.errors import UsageError


def create(
    context: typer.Context,
    principal: Annotated[str, typer.Argument(metavar="PRINCIPAL", help="Who is to show it, such as ana or importer.")],
    roles: Annotated[
        list[str] | None, typer.Option("--role", metavar="NAME", help="What it may do; again and again.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="It is good no longer then: in how long (30d), or ISO 8601.")
    ] = None,
    certificate: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="In place of a text, a client's certificate with this common name."),
    ] = None,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Make a token, and print it: it cannot be printed again.

    With the first one, which needs the role admin, the server is closed to all who have none.
    """
    if not roles:
        raise UsageError("--role says what the token may do; admin may do everything")
    until = None if expires is None else _parse_expiry(expires)
    made = ask_server(
        context,
        lambda client: client.tokens.create(
            principal, roles=roles, expires=until, certificate=certificate, description=description or "", by=by
        ),
    )
    if as_json:
        print_json(token_json(made) | {"token": made.text})
        return
    console(stderr=True).print(token_line(made))
    if made.text is not None:
        sys.stdout.write(made.text + "\n")
        remark("this is the only time that it is shown")


def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """Print the tokens that there are, without their texts."""

    async def look(client: Client) -> list[TokenInfo]:
        return [each async for each in client.tokens.list()]

    for token in ask_server(context, look):
        if as_json:
            print_json(token_json(token))
        else:
            console().print(token_line(token))


def revoke(
    context: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="The token's id; `token list` has it.")],
    last: Annotated[bool, typer.Option("--last", help="Even if nobody is left who may make another one.")] = False,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Make a token good no longer. Connections that have shown it are ended."""
    made = ask_server(context, lambda client: client.tokens.revoke(id, last=last, by=by, description=description))
    print_made(made, as_json)


def token_line(token: TokenInfo) -> Text:
    """A token for people, on one line."""
    line = Text.assemble(
        (token.id, "bold"), "  ", (token.principal, "blue"), f"  {', '.join(token.roles) or 'no role'}"
    )
    if token.certificate is not None:
        line.append(f"  by the certificate of {token.certificate}")
    if token.expires_at is not None:
        is_good = token.is_good(datetime.now(UTC))
        line.append(
            f"  {'until' if is_good else 'ended'} {readable_time(token.expires_at)}", style="" if is_good else "red"
        )
    if token.description:
        line.append(f"  {token.description}", style="dim")
    return line


def token_json(token: TokenInfo) -> dict[str, Any]:
    return {
        "id": token.id,
        "principal": token.principal,
        "roles": list(token.roles),
        "certificate": token.certificate,
        "created_at": json_time(token.created_at),
        "expires_at": None if token.expires_at is None else json_time(token.expires_at),
        "description": token.description,
        "limits": token.limits,
    }


def _parse_expiry(text: str) -> datetime | timedelta:
    """Raises UsageError."""
    try:
        return parse_duration(text)
    except UsageError:
        return parse_time(text)
