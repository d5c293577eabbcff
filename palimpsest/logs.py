"""Where log lines come from, and how they look.

A library does not decide where its log goes: lines are structlog events that pass through the standard library's `logging`,
under loggers named `palimpsest.*`, so that a program that embeds us sees warnings on its standard error and configures the
rest as it is used to. A program that *is* the server calls `configure`.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal, TextIO, cast

import structlog

LogStyle = Literal["auto", "human", "json"]

_shared: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """name: `palimpsest.` and the room."""
    logger: Any = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return cast(structlog.stdlib.BoundLogger, logger)


def configure(level: str = "info", style: LogStyle = "auto", stream: TextIO | None = None) -> None:
    """Sends the log of the whole process to stream (standard error where it is not given).

    level: debug, info, warning, error or critical. style: "human" is coloured text, "json" a line of JSON per event, "auto"
    is "human" where stream is a terminal.
    """
    stream = stream or sys.stderr
    human = style == "human" or (style == "auto" and stream.isatty())
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
        if human
        else [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
