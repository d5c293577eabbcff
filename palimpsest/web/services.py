"""What all operations share: the settings of the gateway, and what is known of the server beside what a caller may ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from palimpsest.web.budget import Budget
from palimpsest.web.sse import Frames


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a gateway."""

    body_bytes_max: int = 16 * 1024 * 1024
    """Of a request; beyond it, the answer is 413."""
    bodies_bytes_max: int = 256 * 1024 * 1024
    """Of all requests that are being done; beyond it, the answer is 503."""
    body_seconds: float = 60.0
    """How long the body of a request may take to come; beyond it, the answer is 408."""
    head_bytes_max: int = 64 * 1024
    """Of a request's first line and headers; beyond it, the answer is 431."""
    head_seconds: float = 20.0
    """How long a connection may take until a request's headers are there; beyond it, it is closed."""
    connections_max: int = 10_000
    """Of HTTP; beyond it, the answer is 503."""
    callers_max: int = 1_000
    """Tokens whose connection to the server is kept open; the least recently used is closed for another."""
    openings_max: int = 16
    """Connections to the server that are being opened at a time; beyond four times as many that wait, the answer is 503."""
    page_items_max: int = 1_000
    """Of names or versions in one answer."""
    page_bytes_max: int = 8 * 1024 * 1024
    """Of values or deltas in one answer, about: a page ends with the item that goes beyond it."""
    event_queue_bytes_max: int = 1024 * 1024
    """What is on its way to one reader of an event stream; beyond it, the reader is served from the log when it has caught up."""
    event_frames_bytes_max: int = 4 * 1024 * 1024
    """Of encoded events that are kept for the other readers of the same changes."""
    keep_alive_seconds: float = 15.0
    """How often a silent event stream says that it is alive, in a comment."""
    shutdown_seconds: float = 5.0
    """How long stopping waits for requests under way."""


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
