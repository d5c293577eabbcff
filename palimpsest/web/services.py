"""What all operations share: the settings of the gateway, and what is known of the server beside what a caller may ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a gateway."""

    body_bytes_max: int = 16 * 1024 * 1024
    """Of a request; beyond it, the answer is 413."""
    connections_max: int = 10_000
    """Of HTTP; beyond it, the answer is 503."""
    callers_max: int = 1_000
    """Tokens whose connection to the server is kept open; the least recently used is closed for another."""
    page_items_max: int = 1_000
    """Of names or versions in one answer."""
    event_queue_bytes_max: int = 1024 * 1024
    """What is on its way to one reader of an event stream; beyond it, the reader is served from the log when it has caught up."""
    keep_alive_seconds: float = 15.0
    """How often a silent event stream says that it is alive, in a comment."""
    shutdown_seconds: float = 5.0
    """How long stopping waits for requests under way."""


class Services:
    """is_ready: None, or why the server is not to be sent requests just now."""

    def __init__(self, limits: HttpLimits, is_ready: Callable[[], Awaitable[str | None]]) -> None:
        self.limits = limits
        self.is_ready = is_ready
        self.closing = asyncio.Event()
        """Set when the gateway stops: what has no end is ended."""
