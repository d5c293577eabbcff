"""`role`: who may do what.

A grant is written `PATTERN:ACTION,...`, and where it is bound to a perspective `PATTERN:ACTION,...:PERSPECTIVE`, or `...:FAMILY@LEVEL`. What
comes before the last colons that fit is the pattern, so that one may stand in a name, too.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from palimpsest.cli.options import AsJson, By, Description
from palimpsest.cli.output import console, print_json, print_made
from palimpsest.cli.session import ask_server
from palimpsest.client import Client
from palimpsest.errors import UsageError
from palimpsest.state.roles import ACTIONS, Allowance, Grant, Role, parse_role, patterns_of, to_value

_ANY_ACTION = "|".join(ACTIONS)
_GRANT = re.compile(
    rf"(?P<pattern>.+?):(?P<actions>(?:{_ANY_ACTION})(?:,(?:{_ANY_ACTION}))*)"
    r"(?::(?P<perspective>[^:/@]+)(?:@(?P<level>[0-9]{1,4}))?)?"
)
_RoleName = Annotated[str, typer.Argument(metavar="NAME", help="The role's name.")]


def put(
    context: typer.Context,
    name: _RoleName,
    grants: Annotated[
        list[str],
        typer.Option(
            "--grant",
            metavar="PATTERN:ACTION,...[:PERSPECTIVE[@LEVEL]]",
            help=f"What it gives; again and again. ACTION: {', '.join(ACTIONS)}.",
        ),
    ],
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--limit", metavar="NAME=NUMBER", help="A bound of each who has it, such as subscriptions_max=10."
        ),
    ] = None,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Make or replace a role. It holds at once, also for who is connected."""
    role = Role(
        grants=tuple(parse_grant(text) for text in grants),
        limits=parse_allowance(limits or []),
        description=description or "",
    )
    parse_role(to_value(role))
    made = ask_server(context, lambda client: client.roles.put(name, role, by=by, description=description))
    print_made(made, as_json)


def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """Print the roles, by name; not admin, which is always there and may do everything."""

    async def look(client: Client) -> list[tuple[str, Role]]:
        return [each async for each in client.roles.list()]

    for name, role in ask_server(context, look):
        _print(name, role, as_json)


def show(context: typer.Context, name: _RoleName, as_json: AsJson = False) -> None:
    """Print a role."""
    _print(name, ask_server(context, lambda client: client.roles.get(name)), as_json)


def delete(
    context: typer.Context,
    name: _RoleName,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Delete a role. It gives nothing any more to those who have it."""
    made = ask_server(context, lambda client: client.roles.delete(name, by=by, description=description))
    print_made(made, as_json)


def parse_grant(text: str) -> Grant:
    """Raises UsageError."""
    found = _GRANT.fullmatch(text)
    if found is None:
        raise UsageError(
            f"--grant {text}: write PATTERN:ACTION,... or PATTERN:ACTION,...:PERSPECTIVE[@LEVEL], where ACTION is one of "
            f"{', '.join(ACTIONS)}"
        )
    level = found["level"]
    return Grant(
        documents=found["pattern"],
        actions=tuple(found["actions"].split(",")),
        perspective=found["perspective"],
        level=None if level is None else int(level),
    )


def grant_text(grant: Grant) -> list[str]:
    """As `parse_grant` takes it, one for each pattern."""
    view = "" if grant.perspective is None else f":{grant.perspective}"
    view += "" if grant.level is None else f"@{grant.level}"
    return [f"{pattern}:{','.join(grant.actions)}{view}" for pattern in patterns_of(grant)]


def parse_allowance(words: list[str]) -> Allowance:
    """Of words such as `connections_max=10`. Raises UsageError."""
    given: dict[str, int] = {}
    for word in words:
        name, _, number = word.partition("=")
        if name not in Allowance.__struct_fields__ or not number.replace("_", "").isdecimal():
            raise UsageError(
                f"--limit {word}: write NAME=NUMBER, where NAME is one of {', '.join(Allowance.__struct_fields__)}"
            )
        given[name] = int(number)
    return Allowance(**given)


def role_lines(name: str, role: Role) -> list[Text]:
    """A role for people: its name, then a line for each grant and each limit."""
    lines = [Text.assemble((name, "bold"), (f"  {role.description}" if role.description else "", "dim"))]
    lines += [Text(f"    {text}") for grant in role.grants for text in grant_text(grant)]
    limits = msgspec.structs.asdict(role.limits)
    lines += [Text(f"    {limit}={number:,}") for limit, number in limits.items() if number is not None]
    return lines


def role_json(name: str, role: Role) -> dict[str, Any]:
    return {
        "name": name,
        "grants": role.grants,
        "limits": role.limits,
        "description": role.description,
    }


def _print(name: str, role: Role, as_json: bool) -> None:
    if as_json:
        print_json(role_json(name, role))
    else:
        for line in role_lines(name, role):
            console().print(line)
