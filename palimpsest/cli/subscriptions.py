"""`subscriptions`: those with a name, whose places the server keeps. `watch --name` works for one."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from palimpsest.cli.confirming import confirm
from palimpsest.cli.options import AsJson, By, Description, Yes
from palimpsest.cli.output import console, counted, on_branch, print_json, print_lines, remark
from palimpsest.cli.session import ask_server
from palimpsest.client import Client, DeadLetter, SubscriptionState

_SubscriptionName = Annotated[str, typer.Argument(metavar="NAME", help="The subscription's name.")]


def list_subscriptions(context: typer.Context, as_json: AsJson = False) -> None:
    """Print the named subscriptions: what each follows, and how much of it is left to do."""
    for state in ask_server(context, lambda client: client.subscriptions()):
        if as_json:
            print_json(state_json(state))
        else:
            console().print(state_line(state))


def show(context: typer.Context, name: _SubscriptionName, as_json: AsJson = False) -> None:
    """Print one of them, with its dead letters: the changes that failed too often, and were put aside."""
    state = ask_server(context, lambda client: client.subscription_state(name))
    if as_json:
        print_json(state_json(state) | {"dead_letters": [_letter_json(letter) for letter in state.dead_letters]})
    else:
        print_lines([state_line(state), *(Text("    ").append_text(letter_line(each)) for each in state.dead_letters)])


def retry(
    context: typer.Context,
    name: _SubscriptionName,
    positions: Annotated[
        list[int] | None,
        typer.Argument(metavar="POSITION", min=1, help="Of dead letters, as `show` prints them; all if not given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Deliver dead letters again."""

    async def redrive(client: Client) -> SubscriptionState:
        await client.redrive(name, *(positions or ()))
        return await client.subscription_state(name)

    state = ask_server(context, redrive)
    if as_json:
        print_json(state_json(state) | {"dead_letters": [_letter_json(letter) for letter in state.dead_letters]})
    else:
        remark(f"dead letters of {name} are delivered again")


def delete(
    context: typer.Context,
    name: _SubscriptionName,
    yes: Yes = False,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Delete a subscription, its place and its dead letters, once you have seen which."""
    if not yes:
        state = ask_server(context, lambda client: client.subscription_state(name))
        remark(state_line(state))
        confirm("Delete?", yes=yes)
    ask_server(context, lambda client: client.delete_subscription(name, by=by, description=description))
    if as_json:
        print_json({"name": name, "deleted": True})
    else:
        remark(f"{name} is deleted")


def state_line(state: SubscriptionState) -> Text:
    """A subscription for people, on one line."""
    line = Text.assemble((state.name, "bold"), "  ", (state.pattern, "blue"), on_branch(state.branch))
    line.append(f"  {counted(state.lag, 'event')} behind" if state.lag else "  up to date")
    line.append(f"  {counted(state.workers, 'worker')}")
    if state.in_flight:
        line.append(f"  {state.in_flight:,} in flight")
    if state.dead:
        line.append(f"  {counted(state.dead, 'dead letter')}", style="red")
    return line


def letter_line(letter: DeadLetter) -> Text:
    """A dead letter for people, on one line; first its position, which `retry` takes."""
    line = Text.assemble((str(letter.position), "yellow"), "  ", (letter.document, "bold"), on_branch(letter.branch))
    line.append(f"  version {letter.version}  {counted(letter.tries, 'try', 'tries')}")
    if letter.again:
        line.append("  on the way again", style="green")
    if letter.reason:
        line.append(f"  {' '.join(letter.reason.split())}", style="dim")
    return line


def state_json(state: SubscriptionState) -> dict[str, Any]:
    """Without its dead letters."""
    answer: dict[str, Any] = msgspec.structs.asdict(state)
    del answer["dead_letters"]
    return answer


def _letter_json(letter: DeadLetter) -> dict[str, Any]:
    return msgspec.structs.asdict(letter)
