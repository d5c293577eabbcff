"""Those who follow the changes of a campaign, each in a way of its own, and remember what they were told."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
from feed_log_kit import Entry, Log, Spec, Told, hash_of_value, verify_all, verify_groups, verify_latest

import palimpsest as pal
from palimpsest.errors import Overloaded
from palimpsest.protocol.cursor import decode_cursor

CHANGE_BYTES_MAX = 8 * 1024
"""More than any change of a campaign has."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a subscription is read."""

    spec: Spec = Spec()
    start: str = "now"
    """Or "beginning", "snapshot", "cursor", "version", "time"."""
    nap_share: float = 0.0
    """Of the changes: after so many the reader sleeps a while."""
    leave_share: float = 0.0
    """After so many it leaves, and comes back with the cursor that it has stored."""
    restarts: bool = False
    """It comes back as another client then."""
    grouped: bool = False
    """It reads transactions."""


class Reader:
    """place: the cursor, the version's number, or the version that was made at the time that it starts at."""

    def __init__(
        self, plan: Plan, url: str, settings: dict[str, Any], chance: random.Random, place: Any = None
    ) -> None:
        self.plan = plan
        self.told = Told()
        self._entered = False
        self.states: list[str] = []
        self._url = url
        self._settings = settings
        self._chance = chance
        self._place = place
        self._changes: pal.Subscription | None = None
        self._after = 0
        """The position that changes follow."""
        self._shown: dict[str, tuple[int, int]] = {}
        """By document, the version that a snapshot gave, and the hash of its value."""

    def has_come_to(self, position: int) -> bool:
        """Whether it knows that it has taken everything up to there."""
        changes = self._changes
        return changes is not None and changes.live and _position(changes.cursor) >= position

    async def run(self, client: pal.Client) -> None:
        """For ever. client: of all who are at the same url."""
        cursor: str | None = None
        while True:
            async with self._client(client) as one:
                self._changes = changes = self._subscribe(one, cursor)
                try:
                    async with changes:
                        if not self._entered:
                            self._begin(changes)
                        await (self._read_groups(changes) if self.plan.grouped else self._read(changes))
                except Overloaded:
                    assert self.plan.spec.policy == "disconnect"
                self._changes, cursor = None, changes.cursor

    @asynccontextmanager
    async def _client(self, client: pal.Client) -> AsyncIterator[pal.Client]:
        if not self.plan.restarts:
            yield client
            return
        async with pal.connect(self._url, **self._settings) as own:
            yield own

    def _subscribe(self, client: pal.Client, cursor: str | None) -> pal.Subscription:
        asked: dict[str, Any] = msgspec.structs.asdict(self.plan.spec)
        start = self.plan.start
        if cursor is not None:
            asked["resume_after"] = cursor
        elif start in ("now", "beginning", "snapshot"):
            asked["start"] = start
        elif start == "time":
            asked["from_time"] = self._place.at
        else:
            asked[{"cursor": "resume_after", "version": "from_version"}[start]] = self._place
        return client.subscribe(asked.pop("pattern"), on_state=self._on_state, **asked)

    def _begin(self, changes: pal.Subscription) -> None:
        if self.plan.start in ("now", "cursor"):
            self._after = _position(changes.cursor)
        self._entered = True

    def _on_state(self, state: str) -> None:
        self.states.append(state)
        if state == "current":
            assert self._changes is not None
            self._after = _position(self._changes.cursor)

    # --- reading -------------------------------------------------------------------------------------------------

    async def _read(self, changes: pal.Subscription) -> None:
        """Until it leaves."""
        async for change in changes:
            if change.snapshot:
                # A snapshot that was cut is begun again, and may show what has changed meanwhile.
                assert change.version > self._shown.get(change.document, (0, 0))[0]
                self._shown[change.document] = (change.version, hash_of_value(change.value))
            else:
                self._take(change)
            if await self._rest(changes):
                return

    async def _read_groups(self, changes: pal.Subscription) -> None:
        async for group in changes.transactions():
            for change in group:
                self._take(change)
            self.told.groups.append(len(group))
            if await self._rest(changes):
                return

    def _take(self, change: Any) -> None:
        self.told.add(change, _position(change.cursor), values=self.plan.spec.values)

    async def _rest(self, changes: pal.Subscription) -> bool:
        """Whether it leaves."""
        if self._chance.random() < self.plan.nap_share:
            await anyio.sleep(self._chance.random() * 0.05)
            assert changes.held_bytes <= self._settings["credit_bytes"] + CHANGE_BYTES_MAX
        return self._chance.random() < self.plan.leave_share and changes.cursor != ""

    # --- what is expected ----------------------------------------------------------------------------------------

    def verify(self, log: Log) -> int:
        """How many changes it was told of, which were the right ones."""
        plan, spec = self.plan, self.plan.spec
        if plan.start == "snapshot":
            assert self.states.count("snapshot") == self.states.count("current") == 1
            self._verify_shown(log)
        if spec.policy == "latest":
            verify_latest(log, spec, self.told, self._after)
        else:
            verify_all(log, spec, self.told, self._expected(log))
        if plan.grouped:
            verify_groups(log, self.told)
        return len(self.told.positions)

    def _expected(self, log: Log) -> list[Entry]:
        wanted = log.wanted(self.plan.spec, self._after)
        if self.plan.start == "version":
            return [entry for entry in wanted if entry.version >= self._place]
        if self.plan.start == "time":
            return [entry for entry in wanted if entry.at >= self._place.at_microseconds]
        return [entry for entry in wanted if entry.version > self._shown.get(entry.document, (0, 0))[0]]

    def _verify_shown(self, log: Log) -> None:
        """What was shown had the values that the deltas give, and nothing that was there was left out."""
        spec = self.plan.spec
        for document, (version, value_hash) in self._shown.items():
            assert log.versions[document, spec.branch, version].value_hash == value_hash
        there: dict[str, int] = {}
        gone = set()
        for entry in log.entries:
            if not spec.concerns(entry):
                continue
            if entry.position > self._after:
                gone |= {entry.document} if entry.kind is pal.Kind.DELETE else set()
            elif entry.kind is pal.Kind.DELETE:
                there.pop(entry.document, None)
            else:
                there[entry.document] = entry.version
        for document, version in there.items():
            assert document in gone or self._shown[document][0] >= version


def _position(cursor: str) -> int:
    """0 where there is none."""
    return decode_cursor(cursor)[1] if cursor else 0
