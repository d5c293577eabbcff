from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.following import Follower, print_change
from palimpsest.cli.stopping import Stopping
from palimpsest.client import Change, Client
from palimpsest.embedded import Server
from palimpsest.errors import Compacted, CursorInvalid, Overloaded
from palimpsest.protocol.cursor import decode_cursor
from palimpsest.running import run

pytestmark = pytest.mark.anyio


class Reader:
    """What a follower tells: the versions shown, the cursors kept, the words said.

    room: how many changes it can print. until: the word after which nothing can be printed any more.
    """

    def __init__(self, room: int = 1_000, until: str = "") -> None:
        self.shown: list[int] = []
        self.kept: list[str] = []
        self.said: list[str] = []
        self._room = room
        self._until = until

    def follower(self, limit: int | None = None) -> Follower:
        return Follower(Stopping(), self._show, keep=self.kept.append, say=self._say, limit=limit)

    def _show(self, change: Change) -> None:
        if len(self.shown) == self._room:
            raise BrokenPipeError
        self.shown.append(change.version)

    def _say(self, word: str) -> None:
        self.said.append(word)
        if word == self._until:
            raise BrokenPipeError


async def make_versions(client: Client, count: int) -> None:
    await client.create("a", 0)
    for number in range(1, count):
        await client.update("a", {"": number})


async def test_it_ends_at_the_limit(palimpsest_client: Client) -> None:
    await make_versions(palimpsest_client, 3)
    reader = Reader()
    follower = reader.follower(limit=2)
    await follower.follow(palimpsest_client.subscribe("a", start="beginning"))
    assert reader.shown == [1, 2]
    rest = Reader()
    await rest.follower(limit=1).follow(palimpsest_client.subscribe("a", resume_after=follower.cursor))
    assert rest.shown == [3]


async def test_a_cursor_is_kept_for_each_change_and_where_it_begins(palimpsest_client: Client) -> None:
    reader = Reader()
    follower = reader.follower(limit=3)
    await make_versions(palimpsest_client, 3)
    await follower.follow(palimpsest_client.subscribe("a", start="beginning"))
    assert len(set(reader.kept)) == 4
    assert reader.kept[-1] == follower.cursor


async def test_while_a_snapshot_is_printed_no_cursor_is_kept(palimpsest_client: Client) -> None:
    for name in ("a", "b", "c"):
        await palimpsest_client.create(name, 1)
    reader = Reader()
    follower = reader.follower(limit=2)
    await follower.follow(palimpsest_client.subscribe("*", start="snapshot", on_state=follower.on_state))
    assert (reader.kept, follower.cursor, reader.said) == ([], "", ["a snapshot begins"])


async def test_the_end_of_a_snapshot_is_a_place_to_go_on_from(palimpsest_client: Client) -> None:
    await palimpsest_client.create("a", 1)
    reader = Reader(until="live")
    follower = reader.follower()
    with pytest.raises(BrokenPipeError):
        await follower.follow(palimpsest_client.subscribe("*", start="snapshot", on_state=follower.on_state))
    assert reader.said == ["a snapshot begins", "the snapshot is complete", "live"]
    await palimpsest_client.update("a", {"": 2})
    rest = Reader()
    await rest.follower(limit=1).follow(palimpsest_client.subscribe("*", resume_after=follower.cursor))
    assert rest.shown == [2]


async def test_the_cursor_moves_on_where_nothing_is_printed(palimpsest_client: Client) -> None:
    for name in ("a", "b", "c"):
        await palimpsest_client.create(name, 1)
    reader = Reader(until="live")
    follower = reader.follower()
    with pytest.raises(BrokenPipeError):
        await follower.follow(palimpsest_client.subscribe("a", start="beginning", on_state=follower.on_state))
    assert [decode_cursor(cursor)[1] for cursor in reader.kept] == [0, 1, 3]


async def test_a_state_is_said_once() -> None:
    reader = Reader()
    follower = reader.follower()
    for state in ("disconnected", "reconnected", "reconnected", "disconnected"):
        follower.on_state(state)
    assert reader.said == ["disconnected", "reconnected", "disconnected"]


async def test_errors_say_what_to_do_in_the_words_of_the_command_line(palimpsest_client: Client) -> None:
    cursor = "1" + "0" * 16 + ".1"
    with pytest.raises(
        CursorInvalid, match=f"^the cursor {cursor} is none of this server's; --from snapshot"
    ) as invalid:
        await Reader().follower().follow(palimpsest_client.subscribe("a", resume_after=cursor))
    assert invalid.value.cursor == cursor

    await make_versions(palimpsest_client, 3)
    async with palimpsest_client.subscribe("a", start="beginning") as changes:
        first = (await anext(changes)).cursor
    await palimpsest_client.prune("a", versions=1, dry_run=False)
    with pytest.raises(
        Compacted, match=f"^some of what follows {first} is not kept any more .*; --from snapshot"
    ) as old:
        await Reader().follower().follow(palimpsest_client.subscribe("a", resume_after=first))
    oldest = Reader()
    await oldest.follower(limit=1).follow(palimpsest_client.subscribe("a", resume_after=old.value.oldest))
    assert oldest.shown == [3]


async def test_who_does_not_keep_up_is_told_where_to_go_on(palimpsest_client: Client) -> None:
    def refuse(cursor: str) -> None:
        raise Overloaded("too slow", limit="subscription_bytes_max", maximum=1)

    follower = Follower(Stopping(), print, keep=refuse, say=print)
    with pytest.raises(Overloaded, match=r"^changes came faster than they were read; --from 1[0-9a-f]{16}\.0 goes on$"):
        await follower.follow(palimpsest_client.subscribe("a"))


@given(st.lists(st.integers(0, 4), max_size=4))
def test_what_was_cut_short_goes_on_where_it_was(rooms: list[int]) -> None:
    """rooms: how many changes each run can print before its pipe breaks."""

    async def cut() -> None:
        async with Server.memory() as server, server.connect() as client:
            await make_versions(client, 9)
            shown: list[int] = []
            cursor = None
            for room in rooms:
                reader = Reader(min(room, 8 - len(shown)))
                follower = reader.follower()
                changes = client.subscribe(
                    "a", **({"start": "beginning"} if cursor is None else {"resume_after": cursor})
                )
                with pytest.raises(BrokenPipeError):
                    await follower.follow(changes)
                shown += reader.shown
                cursor = reader.kept[-1]
            assert shown == list(range(1, len(shown) + 1))

    run(cut)


async def test_a_snapshot_is_printed_with_its_values(
    palimpsest_client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await palimpsest_client.create("a", {"x": 1}, by="ana")
    async with palimpsest_client.subscribe("a", start="snapshot") as changes:
        change = await anext(changes)
    print_change(change, as_json=True, values=False)
    line = json.loads(capsys.readouterr().out)
    assert (line["snapshot"], line["delta"], line["cursor"], line["value"]) == (True, [], "", {"x": 1})
    print_change(change, as_json=False, values=False)
    first, *value = capsys.readouterr().out.splitlines()
    assert first.startswith("a  version 1  snapshot  ")
    assert value == ["{", '  "x": 1', "}"]
