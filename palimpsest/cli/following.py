"""A subscription that is printed: change by change, with a cursor that never passes what was printed.

A change is printed and flushed, and only then counts as done; so what ends the program, at any moment, may make a change appear
again in the next run, and never leaves one out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from palimpsest.cli.acknowledging import Acknowledging
from palimpsest.cli.output import change_json, print_entry, print_json, print_value
from palimpsest.cli.stopping import Stopping
from palimpsest.client import Change, Subscription
from palimpsest.errors import Compacted, CursorError, CursorInvalid, Overloaded, PalimpsestError

_SAID = {
    "snapshot": "a snapshot begins",
    "current": "the snapshot is complete",
    "live": "live",
    "behind": "behind: what was missed is read from the log",
    "disconnected": "disconnected",
    "reconnected": "reconnected",
}
_PLACES = frozenset({"current", "live", "behind"})
"""States that may come with another cursor: that of a marker."""


class Follower:
    """show: prints a change. keep: called with each cursor. say: called with what becomes of the feed, in words.

    `cursor`: the place after what was printed; "" before there is one.
    """

    def __init__(
        self,
        stopping: Stopping,
        show: Callable[[Change], object],
        *,
        keep: Callable[[str], object],
        say: Callable[[str], object],
        limit: int | None = None,
        named: bool = False,
    ) -> None:
        """limit: of changes that are printed. named: what is printed is acknowledged; no cursor is kept, as the server does that."""
        self.cursor = ""
        self._stopping = stopping
        self._show = show
        self._keep = keep
        self._say = say
        self._left = limit
        self._named = named
        self._said = ""
        self._subscription: Subscription | None = None

    async def follow(self, subscription: Subscription) -> None:
        """Until the limit is reached, or `stopping` ends it. Raises what ends the subscription, with what to do next in the words of
        the command line."""
        self._subscription = subscription
        try:
            await self._stopping.run(self._print_all)
        except (CursorError, Overloaded) as error:
            raise error if self._named else _advised(error, self.cursor) from None

    def on_state(self, state: str) -> None:
        """For the subscription, which is made with it."""
        if state in _PLACES and not self._named:
            self._passed()
        if state != self._said:
            self._said = state
            self._say(_SAID.get(state, state))

    async def _print_all(self) -> None:
        assert self._subscription is not None
        async with self._subscription as changes:
            if self._named:
                async with Acknowledging(changes) as acknowledging:
                    await self._print_each(changes, acknowledging)
            else:
                self._passed()
                await self._print_each(changes, None)

    async def _print_each(self, changes: Subscription, acknowledging: Acknowledging | None) -> None:
        async for change in changes:
            with self._stopping.printing():
                self._show(change)
            if acknowledging is None:
                self._passed()
            else:
                await acknowledging.printed(change)
            if self._left is not None:
                self._left -= 1
                if self._left == 0:
                    return

    def _passed(self) -> None:
        """All that was taken is printed."""
        assert self._subscription is not None
        cursor = self._subscription.cursor
        if cursor:  # in a snapshot there is none
            self.cursor = cursor
            self._keep(cursor)


def print_change(change: Change, *, as_json: bool, values: bool) -> None:
    """On stdout, at once. What a snapshot shows comes with its value, whatever values says."""
    if as_json:
        print_json(change_json(change, values=values))
    else:
        print_entry(change)
        if values or change.snapshot:
            print_value(change.value)
    sys.stdout.flush()


def _advised(error: PalimpsestError, cursor: str) -> PalimpsestError:
    """cursor: the place after what was printed."""
    advice = "--from snapshot begins with what is there now, also beside a --cursor-file that can no longer be used"
    if isinstance(error, CursorInvalid):
        return CursorInvalid(f"the cursor {error.cursor} is none of this server's; {advice}", **error.data)
    if isinstance(error, Compacted):
        gone = f"some of what follows {error.cursor} is not kept any more (all is from {error.oldest} on)"
        return Compacted(f"{gone}; {advice}", **error.data)
    if isinstance(error, Overloaded) and error.limit == "subscription_bytes_max":
        return Overloaded(f"changes came faster than they were read; --from {cursor} goes on", **error.data)
    return error
