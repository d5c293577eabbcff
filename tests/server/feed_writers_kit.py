"""Those who make the changes of a campaign, by chance, and remember what they were told."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from typing import Any

import anyio
from feed_log_kit import Log

import palimpsest as pal
from palimpsest.errors import BranchExists, BranchNotFound, DocumentExists, DocumentNotFound

DOCUMENTS = tuple(f"{place}/{number}" for place in ("a", "b", "deep/x", "deep/y") for number in range(4))
BRANCH = "draft"
TAGS = ("blue", "green", "red")
PLACES = ("n", "text.head", "text.body", "meta.stars")

REFUSED = (DocumentNotFound, DocumentExists, BranchNotFound, BranchExists)
"""What others who are at it at the same time may cause."""


class Made:
    """What all writers of a campaign did. A token is the description of each version that one request makes."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        """How many versions a token may make at most."""
        self.acknowledged: dict[tuple[str, str, int], str] = {}
        """By document, branch and version: the token."""
        self.newest: pal.Version
        """Of those that are known."""

    def add(self, version: pal.Version, token: str) -> None:
        where = (version.document, version.branch, version.version)
        assert where not in self.acknowledged, "two requests were told of one version"
        self.acknowledged[where] = token
        self.newest = version

    def verify(self, log: Log) -> None:
        """What was acknowledged is in the log, and nothing is there twice or was made by nobody."""
        for where, token in self.acknowledged.items():
            assert log.versions[where].description == token
        found = Counter(entry.description for entry in log.entries if entry.branch in ("main", BRANCH))
        assert found <= self.sent


class Writer:
    def __init__(self, number: int, client: pal.Client, chance: random.Random, made: Made, batch_max: int) -> None:
        """batch_max: how many updates are made at the same time at most."""
        self._name = f"w{number}"
        self._client = client
        self._chance = chance
        self._made = made
        self._batch_max = batch_max
        self._requests = 0

    async def create_all(self) -> None:
        for document in DOCUMENTS:
            said = self._said(1)
            self._made.add(await self._client.create(document, {"n": 0}, **said), said["description"])

    async def run(self, until: int) -> None:
        """Until so many versions have been acknowledged, by all writers together."""
        actions = (self._update, self._update_many, self._transact, self._update_branch, self._delete, self._branch)
        weights = (30, 30, 20, 15, 3, 2)
        while len(self._made.acknowledged) < until:
            action = self._chance.choices(actions, weights)[0]
            with suppress(*REFUSED):
                await action()

    # --- what is done --------------------------------------------------------------------------------------------

    async def _update(self, branch: str = "main") -> None:
        said = self._said(1)
        document, delta = self._chance.choice(DOCUMENTS), self._delta()
        with suppress(*REFUSED):
            made = await self._client.update(document, delta, branch=branch, **said)
            self._made.add(made, said["description"])

    async def _update_many(self) -> None:
        """At the same time, so that they may be in one frame and in one commit."""
        async with anyio.create_task_group() as tasks:
            for _ in range(self._chance.randint(2, self._batch_max)):
                tasks.start_soon(self._update)

    async def _update_branch(self) -> None:
        await self._update(BRANCH)

    async def _transact(self) -> None:
        documents = self._chance.sample(DOCUMENTS, self._chance.randint(2, 4))
        keys = [document if self._chance.random() < 0.9 else (document, BRANCH) for document in documents]
        said = self._said(len(keys))
        made = await self._client.transaction({key: self._delta() for key in keys}, **said)
        for version in made.values():
            self._made.add(version, said["description"])

    async def _delete(self) -> None:
        """And make it again."""
        document = self._chance.choice(DOCUMENTS)
        said = self._said(1)
        self._made.add(await self._client.delete(document, **said), said["description"])
        said = self._said(1)
        self._made.add(await self._client.create(document, {"n": 0}, **said), said["description"])

    async def _branch(self) -> None:
        """Made where it is not there, deleted where it is."""
        document = self._chance.choice(DOCUMENTS)
        try:
            await self._client.branch(document, BRANCH)
        except BranchExists:
            await self._client.delete_branch(document, BRANCH)

    # --- what is said --------------------------------------------------------------------------------------------

    def _said(self, versions: int) -> dict[str, Any]:
        self._requests += 1
        token = f"{self._name}.{self._requests}"
        self._made.sent[token] = versions
        return {"by": self._name, "description": token, "tags": self._chance.sample(TAGS, self._chance.randint(0, 2))}

    def _delta(self) -> pal.Delta:
        chance = self._chance
        delta = pal.Delta().increment("n")
        if chance.random() < 0.3:
            delta = delta.increment("meta.stars", chance.randint(-3, 3))
        if chance.random() < 0.3:
            delta = delta.set("text.head", f"{chance.getrandbits(32):x}")
        if chance.random() < 0.03:
            delta = delta.set("text.body", "long " * chance.randint(10, 400))
        return delta
