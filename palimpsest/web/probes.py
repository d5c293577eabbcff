"""Whether it lives, and whether it may be sent requests: what an orchestrator or a load balancer asks."""

from __future__ import annotations

from palimpsest.web.operations import TEXT, Answer, Call, Operation
from palimpsest.web.problems import Problem, plain_problem


async def live(call: Call) -> Answer:
    return Answer(b"ok\n", media_type=TEXT)


async def ready(call: Call) -> Answer:
    reason = await call.services.is_ready()
    if reason is None and call.services.closing.is_set():
        reason = "the gateway stops"
    return Answer(b"ready\n", media_type=TEXT) if reason is None else plain_problem(503, "Not Ready", reason)


OPERATIONS = (
    Operation(
        method="GET",
        path="/healthz",
        id="live",
        summary="Whether the gateway is alive",
        group="probes",
        handler=live,
        answers={200: str},
        media_type=TEXT,
        is_open=True,
        is_probe=True,
    ),
    Operation(
        method="GET",
        path="/readyz",
        id="ready",
        summary="Whether the server takes requests",
        group="probes",
        handler=ready,
        answers={200: str, 503: Problem},
        media_type=TEXT,
        is_open=True,
        is_probe=True,
    ),
)
