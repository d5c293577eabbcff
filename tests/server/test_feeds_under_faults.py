"""Subscribers behind connections that break in every way, of a server that is stopped and killed: each is told exactly the log."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from feed_campaign_kit import Campaign, Party, Scale
from feed_log_kit import Spec
from feed_readers_kit import Plan
from proxy_kit import End

pytestmark = pytest.mark.anyio

SMALL = 4 * 1024
"""Bytes of credit that some twenty changes use up."""

PARTIES = (
    Party(plans=(Plan(start="beginning"),)),
    Party(plans=(Plan(start="snapshot", spec=Spec(pattern="a/*")),)),
    Party(
        credit_bytes=SMALL, plans=(Plan(nap_share=0.01), Plan(start="version", spec=Spec(pattern="b/1", values=True)))
    ),
    Party(plans=(Plan(start="beginning", spec=Spec(branch="draft", values=True)),)),
    Party(plans=(Plan(start="beginning", leave_share=0.01, restarts=True),)),
    Party(plans=(Plan(start="cursor", spec=Spec(pattern="deep/**", values=True), leave_share=0.01),)),
    Party(credit_bytes=SMALL, plans=(Plan(start="now", grouped=True, leave_share=0.005, spec=Spec(pattern="*/*")),)),
    Party(
        credit_bytes=SMALL,
        plans=(
            Plan(start="beginning", spec=Spec(pattern="deep/*/*", policy="latest", values=True), nap_share=0.02),
            Plan(start="time", spec=Spec(tags=("blue", "red"), by="w1")),
            Plan(start="snapshot", spec=Spec(pattern="b/*", path="meta", values=True), nap_share=0.02),
        ),
    ),
)

SHORT = Scale(
    changes=3_000,
    writers=6,
    batch_max=48,
    bytes_mean=60_000,
    silence_seconds=0.6,
    restarts=(signal.SIGKILL, signal.SIGTERM),
)


@pytest.fixture
def anyio_backend() -> str:
    """Without asyncio's debug mode, in which a campaign takes three times as long."""
    return "asyncio"


async def test_every_subscriber_is_told_the_log(tmp_path: Path) -> None:
    await run(tmp_path / "state.db", SHORT, PARTIES)


async def run(path: Path, scale: Scale, parties: tuple[Party, ...]) -> None:
    seed = random.randrange(1_000_000)
    campaign = Campaign(path, scale, parties, seed)
    try:
        log = await campaign.run()
        told = [reader.verify(log) for reader in campaign.readers]
    except BaseException:
        print(f"seed {seed}")
        raise
    print(
        f"{len(log.entries)} events, {sum(told)} changes told to {len(told)}: {told}; {campaign.reconnections} {campaign.seen}"
    )
    assert len(log.entries) >= scale.changes
    assert all(campaign.seen[end] for end in (End.CUT, End.STALLED, End.KEPT))
