"""Subscribers behind connections that break in every way, of a server that is stopped and killed: each is told exactly the log."""

from __future__ import annotations

import random
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from feed_campaign_kit import Campaign, Party, Scale
from feed_log_kit import Spec
from feed_readers_kit import Plan
from proxy_kit import End, Manner

import palimpsest as pal

pytestmark = pytest.mark.anyio

SMALL = 8 * 1024
"""Bytes of credit that some fifty changes use up."""

PARTIES = (
    Party(plans=(Plan(start="beginning"),)),
    Party(plans=(Plan(start="snapshot", spec=Spec(pattern="a/*")),)),
    Party(
        credit_bytes=SMALL, plans=(Plan(nap_share=0.004), Plan(start="version", spec=Spec(pattern="b/1", values=True)))
    ),
    Party(plans=(Plan(start="beginning", spec=Spec(branch="draft", values=True)),)),
    Party(plans=(Plan(start="beginning", leave_share=0.004, restarts=True),)),
    Party(plans=(Plan(start="cursor", spec=Spec(pattern="deep/**", values=True), leave_share=0.005),)),
    Party(plans=(Plan(grouped=True, leave_share=0.003, spec=Spec(pattern="*/*")),)),
    Party(
        credit_bytes=SMALL,
        plans=(
            Plan(start="beginning", spec=Spec(pattern="deep/*/*", policy="latest", values=True), nap_share=0.02),
            Plan(start="time", spec=Spec(tags=("blue", "red"), by="w1")),
            Plan(start="snapshot", spec=Spec(pattern="b/*", path="meta", values=True), nap_share=0.02),
            Plan(start="beginning", spec=Spec(pattern="a/**", policy="disconnect"), nap_share=0.01),
        ),
    ),
)

SHORT = Scale(
    changes=2_000,
    writers=6,
    batch_max=48,
    bytes_mean=25_000,
    silence_seconds=0.6,
    restarts=(signal.SIGKILL,),
    seconds_max=60,
)

LONG = Scale(
    changes=200_000,
    writers=16,
    batch_max=96,
    bytes_mean=400_000,
    silence_seconds=1.5,
    restarts=(signal.SIGKILL, signal.SIGTERM) * 3,
    seconds_max=900,
)


@pytest.fixture
def anyio_backend() -> str:
    """Without asyncio's debug mode, in which a campaign takes three times as long."""
    return "asyncio"


async def test_every_subscriber_is_told_the_log(tmp_path: Path) -> None:
    await run(tmp_path / "state.db", SHORT, PARTIES)


@pytest.mark.soak
async def test_fifty_subscribers_are_told_the_log_of_200_000_changes(tmp_path: Path) -> None:
    campaign = await run(tmp_path / "state.db", LONG, PARTIES * 4 + PARTIES[:3])
    assert all(campaign.seen[trouble] for trouble in (*Manner, End.CUT, End.STALLED, End.KEPT))


async def run(path: Path, scale: Scale, parties: tuple[Party, ...]) -> Campaign:
    """What a failed one says begins with its seed, by which writers, readers and trouble are the same again; the times are not."""
    seed = random.randrange(1_000_000)
    campaign = Campaign(path, scale, parties, seed)
    try:
        log = await campaign.run()
        told = [reader.verify(log) for reader in campaign.readers]
    except BaseException:
        print(f"seed {seed}")
        raise
    print(
        f"{len(log.entries)} changes, {sum(told)} told to {len(told)} subscribers, {campaign.reconnections} reconnections, {campaign.seen}"
    )
    assert len(log.entries) >= scale.changes
    assert len(told) == sum(len(party.plans) for party in parties)
    assert campaign.reconnections > 0
    return campaign


async def test_a_time_finds_what_was_made_then_where_others_overtook_it() -> None:
    """An event may be older than what is before it in the log: by its time, which is that of its request's arrival."""
    made = datetime.now(UTC) - timedelta(minutes=1)
    async with pal.Server.memory() as server, server.connect() as client:
        for name, seconds in (("early", -20), ("then", 0), ("overtaken", -5), ("later", 1)):
            await client.transaction({name: pal.Create(0)}, at=made + timedelta(seconds=seconds))
        async with client.subscribe("**", from_time=made) as changes:
            with anyio.fail_after(10):
                assert [(await anext(changes)).document for _ in range(2)] == ["then", "later"]
