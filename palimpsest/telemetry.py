"""Spans of OpenTelemetry: what `connect(..., tracing=True)` makes of requests. Imported by nobody else, as the package comes with the extra
`palimpsest[telemetry]` alone.

Which spans become part of a trace, and where they go, is for the program to say, by the SDK that it sets up; without one, nothing is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode


class RequestSpan:
    """One request, from when it is asked until it is answered."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str | None:
        """What the other side is to go on with; None where nobody traces."""
        context = self._span.get_span_context()
        if not context.is_valid:
            return None
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, code: str | None) -> None:
        """code: of the error that the request failed with; None: it did not. The error's text is left out: it may speak of values."""
        if code is not None:
            self._span.set_attribute("error.type", code)
            self._span.set_status(StatusCode.ERROR, code)
        self._span.end()


class Spans:
    """What `palimpsest.client.tracing.Tracing` asks for."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("palimpsest", version("palimpsest"))

    def start(self, name: str, attributes: Mapping[str, str | int]) -> RequestSpan:
        """A span below the one that is current here."""
        return RequestSpan(self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=dict(attributes)))
