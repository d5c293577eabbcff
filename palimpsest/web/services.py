"""What all operations share: the settings of the gateway, and what is known of the server beside what a caller may ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from palimpsest.limits import HttpLimits
from palimpsest.web.budget import Budget
from palimpsest.web.sse import Frames


class Services:
    """is_ready: None, or why the server is not to be sent requests just now."""

    def __init__(self, limits: HttpLimits, is_ready: Callable[[], Awaitable[str | None]]) -> None:
        self.limits = limits
        self.is_ready = is_ready
        self.bodies = Budget(limits.bodies_bytes_max)
        self.frames = Frames(limits.event_frames_bytes_max)
        self.is_somebody = False
        """The gateway itself has a certificate for the server, so that a role may say what is seen without a token, too."""
        self.closing = asyncio.Event()
        """Set when the gateway stops: what has no end is ended."""
