"""The trace that a request is part of: each is one step of it, and what is written keeps where it came from.

The client knows a trace by its W3C `traceparent` alone, and who makes the spans by what it asks of them; see `palimpsest.telemetry`.
"""

from __future__ import annotations

import re
from asyncio import Future
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import msgspec

from palimpsest.client.settings import Address
from palimpsest.client.viewing import inner, replaced
from palimpsest.errors import InvalidRequest
from palimpsest.words import MAIN, Meta

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
_passed_on: ContextVar[str | None] = ContextVar("palimpsest.traceparent", default=None)


class Step(Protocol):
    """One request of a trace."""

    @property
    def traceparent(self) -> str | None:
        """What is written with it; None for nothing."""
        ...

    def end(self, code: str | None) -> None:
        """It was answered; code: of the error, if it failed."""
        ...


class Tracing(Protocol):
    def start(self, name: str, attributes: Mapping[str, str | int]) -> Step:
        """A request begins. name: its kind, such as "palimpsest get_many". attributes: what it is about; never a value or a token."""
        ...


class PassedOn:
    """A `Tracing` that makes no spans: writes keep the `traceparent` that `passing_on` names, as of a request that came from elsewhere."""

    def start(self, name: str, attributes: Mapping[str, str | int]) -> Step:
        return _Passed(_passed_on.get())


class _Passed(msgspec.Struct, frozen=True):
    traceparent: str | None

    def end(self, code: str | None) -> None:
        pass


@contextmanager
def passing_on(traceparent: str | None) -> Iterator[None]:
    """What this task writes in the block, by clients with `tracing=PassedOn()`, is part of that trace. The server refuses what is no
    traceparent as InvalidRequest."""
    token = _passed_on.set(traceparent)
    try:
        yield
    finally:
        _passed_on.reset(token)


def make_tracing(tracing: bool | Tracing) -> Tracing | None:
    """Raises InvalidRequest where OpenTelemetry is asked for and not installed."""
    if not isinstance(tracing, bool):
        return tracing
    if not tracing:
        return None
    try:
        from palimpsest.telemetry import Spans
    except ImportError as error:
        raise InvalidRequest(f"tracing needs `palimpsest[telemetry]`: {error}", reason="tracing") from error
    return Spans()


def begin(tracing: Tracing, address: Address, message: Any) -> tuple[Step, Any]:
    """The step that a request is, and the request as it is to be sent."""
    request = inner(message)
    step = tracing.start(name_of(request), attributes_of(request, address))
    return step, with_trace(message, step.traceparent)


def end_with(step: Step, future: Future[Any]) -> None:
    """step ends when future is done."""

    def done(future: Future[Any]) -> None:
        if future.cancelled():
            step.end("cancelled")
            return
        error = future.exception()
        step.end(None if error is None else getattr(error, "code", type(error).__name__))

    future.add_done_callback(done)


def name_of(request: Any) -> str:
    """`GetMany` as `palimpsest get_many`."""
    return f"palimpsest {_CAPITAL.sub('_', type(request).__name__).lower()}"


def attributes_of(request: Any, address: Address) -> dict[str, str | int]:
    """The names that it speaks of, and where it goes."""
    found: dict[str, str | int] = {"server.address": address.host, "server.port": address.port}
    for field in ("document", "pattern", "branch", "name", "merge"):
        said = getattr(request, field, None)
        if isinstance(said, str) and (field, said) != ("branch", MAIN):
            found[f"palimpsest.{field}"] = said
    return found


def with_trace(message: Any, traceparent: str | None) -> Any:
    """A write with it, unless it has one already; anything else as it is."""
    request = inner(message)
    if traceparent is None or "meta" not in request.__struct_fields__:
        return message
    meta = request.meta or Meta()
    if meta.trace is not None:
        return message
    return replaced(message, meta=msgspec.structs.replace(meta, trace=traceparent))
