"""When a source is run next."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from palimpsest.client.plans import Run, SourceBusy
from palimpsest.errors import InvalidRequest
from palimpsest.state.sources import Source

if TYPE_CHECKING:
    from palimpsest.client.reconciling import Reconciling

_SECOND = 1_000_000
_BACKOFF_SECONDS = 30.0
_BACKOFF_SECONDS_MAX = 3600.0


async def run_for_ever(
    reconciling: Reconciling,
    name: str,
    run_if_due: Callable[[str], Awaitable[Run]],
    sleep: Callable[[float], Awaitable[object]],
    on_run: Callable[[Run | Exception], object] | None,
) -> None:
    """As `Reconciling.schedule`. run_if_due: raises SourceBusy where another program has run it just now, or does so."""
    while True:
        source = await reconciling.get(name)
        if source.interval_seconds is None:
            raise InvalidRequest(f"the source {name!r} has no interval", reason="interval_seconds")
        state = await reconciling.state(name)
        wait = (max(state.next_at, state.until) - reconciling.clock.now()) / _SECOND
        if wait > 0:
            await sleep(wait)
            continue
        try:
            came: Run | Exception = await run_if_due(name)
        except SourceBusy:
            continue  # its state says until when
        except Exception as error:  # whatever the source raises: it is with the run, and the next one may do better
            came = error
        if on_run is not None:
            on_run(came)


def next_at(source: Source, started: int, failures: int) -> int:
    """When a run is due. Both are in microseconds since the epoch. started: when the last run began; failures: how many runs have failed since
    one that did not."""
    interval = source.interval_seconds or 0.0
    if failures and interval:
        backoff = min(_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 10), _BACKOFF_SECONDS_MAX)
        return started + int(backoff * _SECOND)
    return started + int((interval + random.uniform(0, source.jitter_seconds)) * _SECOND)
