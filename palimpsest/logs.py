"""Where log lines come from, and how they look.

A library does not decide where its log goes: lines are structlog events that pass through the standard library's `logging`,
under loggers named `palimpsest.*`, so that a program that embeds us sees warnings on its standard error and configures the
rest as it is used to. A program that *is* the server calls `configure`.
"""

from __future__ import annotations

import logging
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger
    from structlog.typing import Processor

LogStyle = Literal["auto", "human", "json"]


class Logger:
    """Where a module's lines go. structlog is imported by the first of them: most programs that only use a client never write
    one, and it would be a quarter of what importing the package takes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, event: str, **said: Any) -> None:
        self._bound.debug(event, **said)

    def info(self, event: str, **said: Any) -> None:
        self._bound.info(event, **said)

    def warning(self, event: str, **said: Any) -> None:
        self._bound.warning(event, **said)

    def error(self, event: str, **said: Any) -> None:
        self._bound.error(event, **said)

    def exception(self, event: str, **said: Any) -> None:
        """As an error, with the exception that is being handled."""
        self._bound.exception(event, **said)

    def critical(self, event: str, **said: Any) -> None:
        self._bound.critical(event, **said)

    @cached_property
    def _bound(self) -> BoundLogger:
        import structlog

        logger: BoundLogger = structlog.wrap_logger(
            logging.getLogger(self._name),
            processors=[
                structlog.stdlib.filter_by_level,
                *_shared(),
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )
        return logger


def get_logger(name: str) -> Logger:
    """name: `palimpsest.` and the room."""
    return Logger(name)


def _shared() -> list[Processor]:
    """What is added to every line, also to those of others."""
    import structlog

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def configure(level: str = "info", style: LogStyle = "auto", stream: TextIO | None = None) -> None:
    """Sends the log of the whole process to stream (standard error where it is not given).

    level: debug, info, warning, error or critical. style: "human" is coloured text, "json" a line of JSON per event, "auto"
    is "human" where stream is a terminal.
    """
    import structlog

    stream = stream or sys.stderr
    human = style == "human" or (style == "auto" and stream.isatty())
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
        if human
        else [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # At debug it tells of every call, with what the call was given.
    logging.getLogger("aiosqlite").setLevel(max(root.level, logging.INFO))
