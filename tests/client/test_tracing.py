"""Traces: what is written keeps the one that it is part of, and requests are its spans."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping

import pytest
from msgspec import Raw
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import palimpsest as pal
from palimpsest import telemetry
from palimpsest.client.settings import Address
from palimpsest.client.tracing import PassedOn, Step, attributes_of, make_tracing, name_of, passing_on, with_trace
from palimpsest.errors import ConnectionLost, DocumentExists, InvalidRequest
from palimpsest.protocol import messages as m
from palimpsest.words import Meta

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-00"
NIL = Raw(b"\xc0")

# --- pure ------------------------------------------------------------------------------------------------------------


def test_writes_take_the_trace_and_nothing_else_does() -> None:
    update = m.Update(1, "d", Raw(b"\x90"))
    assert with_trace(update, TRACE).meta == Meta(trace=TRACE)
    said = m.Update(1, "d", Raw(b"\x90"), meta=Meta("ana", "why", ("x",)))
    assert with_trace(said, TRACE).meta == Meta("ana", "why", ("x",), TRACE)
    assert with_trace(m.Through("public", None, update), TRACE).request.meta == Meta(trace=TRACE)
    assert with_trace(m.Update(1, "d", NIL, meta=Meta(trace=OTHER)), TRACE).meta == Meta(trace=OTHER)
    for message in (m.Get(1, "d"), m.Subscribe(1, 2, "d"), m.Ping(1)):
        assert with_trace(message, TRACE) is message
    assert with_trace(update, None) is update


def test_a_span_says_what_is_spoken_of_and_no_value() -> None:
    address = Address("127.0.0.1", 7411)
    assert name_of(m.GetMany(1, ("a",))) == "palimpsest get_many"
    secret = Raw(b"\xa6secret")
    assert attributes_of(m.Create(1, "notes/1", secret, "draft", meta=Meta("ana", "secret")), address) == {
        "server.address": "127.0.0.1",
        "server.port": 7411,
        "palimpsest.document": "notes/1",
        "palimpsest.branch": "draft",
    }


def test_without_the_extra_it_is_said() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "palimpsest.telemetry", None)
        with pytest.raises(InvalidRequest, match=r"palimpsest\[telemetry\]"):
            make_tracing(True)
    assert make_tracing(False) is None


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_histories_documents_and_changes_show_the_trace() -> None:
    async with pal.Server.memory() as server, server.connect(tracing=PassedOn()) as client:
        async with client.subscribe("d") as changes:
            with passing_on(TRACE):
                await client.create("d", {"n": 1}, by="ana")
            await client.update("d", {"n": 2})
            assert [(await anext(changes)).trace for _ in range(2)] == [TRACE, None]
        assert [version.trace async for version in client.history("d")] == [None, TRACE]
        assert (await client.get("d", version=1)).trace == TRACE
        assert (await client.blame("d"))["n"].trace is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    "wrong",
    [
        "",
        TRACE.upper(),
        TRACE + "-00",
        TRACE[:-1],
        "ff" + TRACE[2:],
        "00-" + 32 * "0" + TRACE[35:],
        TRACE[:36] + 16 * "0" + "-01",
        TRACE + "\n",
        "secret",
    ],
)
async def test_what_is_no_traceparent_is_refused(wrong: str) -> None:
    async with pal.Server.memory() as server, server.connect(tracing=PassedOn()) as client:
        await client.create("d", {"n": 1})
        with passing_on(wrong), pytest.raises(InvalidRequest, match="traceparent"):
            await client.update("d", {"n": 2})
        assert (await client.get("d")).version == 1


@pytest.mark.anyio
async def test_a_trace_is_not_what_an_author_says() -> None:
    """A pick is made under the author of what is picked, and a merge that is resolved under who began it, traced or not."""
    async with pal.Server.memory() as server, server.connect(tracing=PassedOn()) as client:
        await client.create("d", {"n": 1, "title": "A"})
        await client.branch("d", "draft")
        await client.update("d", {"n": 2}, branch="draft", by="ana", description="why", tags={"x"})
        with passing_on(TRACE):
            await client.cherry_pick("d", "draft:2")
        (picked,) = [version async for version in client.history("d", limit=1)]
        assert (picked.by, picked.description, picked.tags, picked.trace) == ("ana", "why", {"x"}, TRACE)
        await client.update("d", {"title": "B"})
        await client.update("d", {"title": "C"}, branch="draft")
        merge = await client.merge("d", source="draft", by="bo")
        with passing_on(OTHER):
            await client.resolve(merge.merge_id, {"title": pal.THEIRS})
        (merged,) = [version async for version in client.history("d", limit=1)]
        assert (merged.by, merged.trace) == ("bo", OTHER)
        await client.tag("d", 1, {"first"})
        assert (await client.get("d", version=1)).trace is None


@pytest.mark.anyio
async def test_a_trace_travels_with_an_export() -> None:
    async with pal.Server.memory() as one, one.connect(tracing=PassedOn()) as client:
        with passing_on(TRACE):
            await client.create("d", 1, by="ana")
        await client.tag("d", 1, {"kept"})
        lines = [line async for line in client.export()]
    assert [line.get("trace") for line in lines if line.get("branch") == "main"] == [TRACE]
    async with pal.Server.memory() as other, other.connect() as client:
        await client.import_history(lines)
        (version,) = [version async for version in client.history("d")]
        assert (version.trace, version.tags) == (TRACE, {"kept"})


# --- with OpenTelemetry ----------------------------------------------------------------------------------------------


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What was exported, of a provider that is this test's alone."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry.trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


@pytest.mark.anyio
async def test_each_request_is_a_span_below_the_current_one(spans: InMemorySpanExporter) -> None:
    async with pal.Server.memory() as server, server.connect(tracing=True) as client:
        with telemetry.trace.get_tracer("mine").start_as_current_span("whole") as whole:
            await client.create("notes/1", {"n": 1})
            await client.get("notes/1")
            with pytest.raises(DocumentExists):
                await client.create("notes/1", {"n": 1})
        (version,) = [version async for version in client.history("notes/1")]
    create, get, again, _, history = spans.get_finished_spans()
    assert [span.name for span in (create, get, again, history)] == [
        "palimpsest create",
        "palimpsest get",
        "palimpsest create",
        "palimpsest history",
    ]
    assert all(span.parent.span_id == whole.get_span_context().span_id for span in (create, get, again))
    assert history.parent is None
    context = create.get_span_context()
    assert version.trace == f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    assert create.status.status_code is StatusCode.UNSET
    assert (again.status.status_code, again.status.description) == (StatusCode.ERROR, "document_exists")
    assert again.attributes is not None
    assert again.attributes["error.type"] == "document_exists"


def test_the_sync_face_traces_what_its_thread_is_at(spans: InMemorySpanExporter, palimpsest_server: pal.Server) -> None:
    tracer = telemetry.trace.get_tracer("mine")
    with (
        pal.connect_sync(palimpsest_server.url, tracing=True) as client,
        tracer.start_as_current_span("whole") as whole,
    ):
        client.create("d", 1)
    create = next(span for span in spans.get_finished_spans() if span.name == "palimpsest create")
    assert create.parent is not None
    assert create.parent.span_id == whole.get_span_context().span_id


@pytest.mark.anyio
async def test_without_a_provider_nothing_is_kept() -> None:
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)
    async with pal.Server.memory() as server, server.connect(tracing=True) as client:
        await client.create("d", 1)
        assert [version.trace async for version in client.history("d")] == [None]


@pytest.mark.anyio
async def test_no_value_and_no_token_is_in_spans_or_the_log(
    spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with pal.Server.memory() as server:
        async with server.connect() as client:
            token = (await client.tokens.create("root", roles=["admin"])).text
        async with server.connect(token=token, tracing=True) as client:
            await client.create("d", {"password": "hunter2"}, description="hunter2")
            for changes in ({"password": pal.Increment(1)}, pal.Delta().test("password", "hunter3")):
                with pytest.raises(pal.PalimpsestError):
                    await client.update("d", changes)
            with pytest.raises(pal.PalimpsestError):
                await client.create("d", "hunter2")
            await client.get("d")
        with pytest.raises(pal.PalimpsestError):
            async with server.connect(token=token + "x", tracing=True):
                pass
    told = "".join(span.to_json() for span in spans.get_finished_spans()) + caplog.text
    told += json.dumps([str(record.__dict__) for record in caplog.records])
    assert "palimpsest update" in told
    assert "hunter" not in told
    assert token not in told
    assert token.split("_")[-1] not in told


class Kept:
    """Keeps what each step ended with."""

    def __init__(self) -> None:
        self.ended: list[str | None] = []

    def start(self, name: str, attributes: Mapping[str, str | int]) -> Step:
        return _KeptStep(self.ended)


class _KeptStep:
    traceparent = None

    def __init__(self, ended: list[str | None]) -> None:
        self._ended = ended

    def end(self, code: str | None) -> None:
        self._ended.append(code)


@pytest.mark.anyio
async def test_each_step_ends_once_also_when_the_client_is_closed() -> None:
    tracing = Kept()
    async with pal.Server.memory() as server:
        client = await server.connect(tracing=tracing)
        await client.ping()
        waiting = asyncio.create_task(client.get("d"))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ConnectionLost):
            await waiting
    assert tracing.ended == [None, "connection_lost"]
