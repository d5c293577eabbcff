"""What goes on in a run, written down while it does: its document is what `watch` follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from palimpsest.client.leasing import Lease
from palimpsest.client.plans import PlanMoved, Run, TooManyDeletes, to_plain
from palimpsest.clock import Clock
from palimpsest.state.delta import Append, Delta
from palimpsest.state.sources import RUNS, branch_of

if TYPE_CHECKING:
    from palimpsest.client.client import Client

_EVENTS_MAX = 1_000


class RunNote:
    """Writes down what goes on in a run: its document is what `watch` follows."""

    def __init__(self, client: Client, run: Run, clock: Clock, lease: Lease) -> None:
        self._client = client
        self._document = RUNS + run.id
        self._run = run
        self._clock = clock
        self._lease = lease
        self._events = 0

    async def begin(self) -> None:
        value = {**_plain(self._run), "events": [{"kind": "started", "at": self._clock.now()}]}
        self._events = 1
        await self._client.create(self._document, value, by=branch_of(self._run.source))

    async def tell(self, kind: str, data: dict[str, Any]) -> None:
        """Raises SourceBusy where another program has taken over. Of very many events, those in the middle are left out."""
        if kind != "failed":
            self._lease.check()
        if self._events < _EVENTS_MAX:
            self._events += 1
            event = {"kind": kind, "at": self._clock.now(), **data}
            await self._client.update(self._document, {"events": Append(event)}, by=branch_of(self._run.source))

    async def end(self, run: Run) -> None:
        delta = Delta()
        for name, value in _plain(run).items():
            delta = delta.set((name,), value)
        delta = delta.append("events", {"kind": "ended", "at": self._clock.now(), "outcome": run.outcome})
        await self._client.update(self._document, delta, by=branch_of(run.source))


def _plain(run: Run) -> dict[str, Any]:
    plain = to_plain(run)
    plain.pop("events", None)
    return plain


def failed(run: Run, error: BaseException) -> Run:
    message = str(error) or type(error).__name__
    if isinstance(error, PlanMoved):
        return replace(run, outcome="moved", moved=error.documents, message=message)
    outcome = "refused" if isinstance(error, TooManyDeletes) else "failed"
    return replace(run, outcome=outcome, message=message)
