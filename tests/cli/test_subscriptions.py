from __future__ import annotations

import json

import pytest

from palimpsest.cli.subscriptions import letter_line, state_json, state_line
from palimpsest.client import DeadLetter, SubscriptionState
from palimpsest.running import run

CURSOR = "1" + "0" * 16 + ".1"
IDLE = SubscriptionState("a", "**", "main", CURSOR, lag=0, workers=0, in_flight=0, dead=0)
BUSY = SubscriptionState("billing", "n/*", "draft", CURSOR, lag=1_204, workers=2, in_flight=3, dead=1)


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (IDLE, "a  **  up to date  0 workers"),
        (BUSY, "billing  n/* on draft  1,204 events behind  2 workers  3 in flight  1 dead letter"),
    ],
    ids=["idle", "busy"],
)
def test_a_subscription_for_people(state: SubscriptionState, line: str) -> None:
    assert state_line(state).plain == line


@pytest.mark.parametrize(
    ("letter", "line"),
    [
        (DeadLetter("n/1", "main", 7, 1042, 5, ""), "1042  n/1  version 7  5 tries"),
        (
            DeadLetter("n/1", "draft", 7, 1042, 1, "no\nway", True),
            "1042  n/1 on draft  version 7  1 try  on the way again  no way",
        ),
    ],
    ids=["plain", "again"],
)
def test_a_dead_letter_for_people(letter: DeadLetter, line: str) -> None:
    assert letter_line(letter).plain == line


def test_the_keys_of_a_subscription() -> None:
    keys = ["name", "pattern", "branch", "cursor", "lag", "workers", "in_flight", "dead"]
    assert list(state_json(BUSY)) == keys


# --- with a server ---------------------------------------------------------------------------------------------------


def lines(answer) -> list:
    assert answer.exit_code == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


@pytest.fixture
def story(palimpsest) -> None:
    for number in range(3):
        palimpsest("set", f"n/{number}", "1")


def watch(palimpsest, limit: int, *words: str) -> list[tuple[str, int]]:
    """What a worker of `billing` prints."""
    answer = palimpsest("watch", "n/*", "--name", "billing", "--json", "--limit", str(limit), *words)
    return [(line["document"], line["tries"]) for line in lines(answer)]


def test_what_is_printed_is_done(palimpsest, story) -> None:
    assert watch(palimpsest, 1, "--from", "beginning") == [("n/0", 1)]
    assert watch(palimpsest, 2) == [("n/1", 1), ("n/2", 1)]
    (state,) = lines(palimpsest("subscriptions", "list", "--json"))
    assert (state["name"], state["pattern"], state["workers"], state["in_flight"]) == ("billing", "n/*", 0, 0)


def test_what_was_handed_out_and_not_printed_has_not_failed(palimpsest, story) -> None:
    """Each run gets more than it prints; that costs the rest no tries."""
    for number in range(3, 8):
        palimpsest("set", f"n/{number}", "1")
    shown = [watch(palimpsest, 1, "--from", "beginning") for _ in range(8)]
    assert shown == [[(f"n/{number}", 1)] for number in range(8)]


def test_a_subscription_is_shown_and_deleted(palimpsest, story) -> None:
    watch(palimpsest, 3, "--from", "beginning")
    assert palimpsest("subscriptions", "list").stdout.startswith("billing  n/*  ")
    (state,) = lines(palimpsest("subscriptions", "show", "billing", "--json"))
    assert state["dead_letters"] == []
    kept = palimpsest("subscriptions", "delete", "billing", stdin="n\n")
    assert kept.exit_code == 1
    assert kept.stderr.startswith("billing  n/*  ")
    assert lines(palimpsest("subscriptions", "delete", "billing", "--yes", "--json")) == [
        {"name": "billing", "deleted": True}
    ]
    assert lines(palimpsest("subscriptions", "list", "--json")) == []
    for words in (["show", "billing"], ["delete", "billing", "--yes"], ["retry", "billing"]):
        assert palimpsest("subscriptions", *words).exit_code == 3


def test_a_dead_letter_is_shown_and_delivered_again(palimpsest, story, palimpsest_server) -> None:
    async def fail() -> None:
        async with (
            palimpsest_server.connect() as client,
            client.subscribe("n/*", name="billing", start="beginning", tries_max=1) as changes,
        ):
            await changes.nack(await anext(changes), reason="no such account")

    run(fail)
    shown = palimpsest("subscriptions", "show", "billing")
    assert "1 dead letter" in shown.stdout
    assert shown.stdout.splitlines()[1].endswith("n/0  version 1  1 try  no such account")
    (state,) = lines(palimpsest("subscriptions", "show", "billing", "--json"))
    (letter,) = state["dead_letters"]
    assert list(letter) == ["document", "branch", "version", "position", "tries", "reason", "again"]
    (state,) = lines(palimpsest("subscriptions", "retry", "billing", str(letter["position"]), "--json"))
    assert [each["again"] for each in state["dead_letters"]] == [True]
    assert sorted(watch(palimpsest, 3)) == [("n/0", 2), ("n/1", 1), ("n/2", 1)]
    (state,) = lines(palimpsest("subscriptions", "show", "billing", "--json"))
    assert (state["dead"], state["dead_letters"]) == (0, [])


@pytest.mark.parametrize(
    "words",
    [["--cursor-file", "c"], ["--speed", "2", "--from", "1h"], ["--policy", "disconnect"], ["--from", "snapshot"]],
    ids=lambda words: words[0],
)
def test_what_goes_with_no_name(palimpsest, words: list[str]) -> None:
    refused = palimpsest("watch", "**", "--name", "a", *words)
    assert refused.exit_code == 2
    assert "--name with --" in refused.stderr
