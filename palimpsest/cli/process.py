"""What the processes that serve share: how they say that they are ready, which signals end them, and what a reload is.

SIGTERM and SIGINT end the process gracefully. SIGHUP makes it read again what may change while it runs: the files for TLS, and how much is
logged. Where the process was started on a terminal and the terminal is gone, SIGHUP ends it, as it ends everything there.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager

import anyio

from palimpsest.cli.configuration import Configuration
from palimpsest.cli.exits import plain_error
from palimpsest.cli.notifying import READY, STOPPING, notify, reloading
from palimpsest.cli.settings import ServeSettings, by_name
from palimpsest.errors import LinkError, PalimpsestError
from palimpsest.logs import configure, get_logger

log = get_logger("palimpsest.cli")

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_RELOADED = frozenset({"log_level", "log_format"})
"""What a reload takes from the configuration; of the rest, it says what has changed."""


def say_ready(urls: Iterable[str]) -> None:
    """One line on stdout for each address."""
    for url in urls:
        sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()
    notify(READY)


@contextmanager
def listening(where: str) -> Iterator[None]:
    """What hinders someone from listening comes out of the block as LinkError. where: what could not be served."""
    try:
        yield
    except (OSError, BaseExceptionGroup) as error:
        plain = plain_error(error)
        if not isinstance(plain, OSError):
            raise
        raise LinkError(f"cannot serve {where}: {plain}") from error


async def until_told(
    signals: AsyncIterator[signal.Signals],
    stop: Callable[[], None],
    stopped: Callable[[], Awaitable[None]],
    reload: Reload,
) -> None:
    """Returns when stopped does, which stop makes it do; meanwhile, signals are obeyed."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_obey, signals, stop, reload)
        await stopped()
        notify(STOPPING)
        tasks.cancel_scope.cancel()


async def _obey(signals: AsyncIterator[signal.Signals], stop: Callable[[], None], reload: Reload) -> None:
    had_terminal = _terminals()
    async for number in signals:
        if number == signal.SIGHUP and _terminals() == had_terminal:
            await reload()
        else:
            log.info("signal", name=number.name)
            stop()


def _terminals() -> frozenset[int]:
    """Which of the standard streams are terminals that are there."""
    return frozenset(stream for stream in (0, 1, 2) if os.isatty(stream))


class Reload:
    """What SIGHUP does. configured: reads the configuration anew. read_tls: each reads files for TLS again, or raises a PalimpsestError and leaves
    those that are in use. concerns: whether the process goes by the setting of a name. Whatever is wrong is logged, and everything stays as
    it was."""

    def __init__(
        self,
        current: Configuration,
        configured: Callable[[], Configuration],
        read_tls: Iterable[Callable[[], None]],
        concerns: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self._started_with = current.settings
        self._configured = configured
        self._read_tls = list(read_tls)
        self._concerns = concerns

    def also(self, read_tls: Callable[[], None]) -> None:
        """Something else that has files for TLS."""
        self._read_tls.append(read_tls)

    async def __call__(self) -> None:
        notify(reloading())
        try:
            fresh = (await anyio.to_thread.run_sync(self._configured)).settings
            for read in self._read_tls:
                read()
        except PalimpsestError as error:
            log.error("reload_failed", reason=error.message)
        else:
            configure(fresh.log_level, fresh.log_format)
            changed = changed_names(self._started_with, fresh) - _RELOADED
            needs_restart = sorted(filter(self._concerns, changed))
            log.info("reloaded", log_level=fresh.log_level, needs_restart=needs_restart)
        notify(READY)


def changed_names(before: ServeSettings, after: ServeSettings) -> set[str]:
    """Of settings, such as `port` and `limits.depth_max`; a resolver that came or went is one of them."""
    old, new = by_name(before), by_name(after)
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def warn_of(remarks: Iterable[str]) -> None:
    for remark in remarks:
        log.warning("environment_ignored", reason=remark)
