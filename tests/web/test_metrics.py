"""The exposition, read back by Prometheus' own parser, and what a server is ready for."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

import palimpsest as pal
from palimpsest.counting import HistogramData
from palimpsest.protocol import messages as m
from palimpsest.web.metrics import ALL, INFO, REFUSALS, REQUESTS, ROWS, STARTED, exposition, health, kind_label

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
HISTOGRAM = HistogramData((0.001, 0.5), (7, 2, 1), 1.25)


def observed(**fields: object) -> pal.Observation:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    empty: dict[str, object] = {name: {} for name in ("counters", "gauges", "histograms", "requests", "refusals")}
    return pal.Observation("0123456789abcdef", "palimpsest/1.0", start, start, **{**empty, **fields})  # type: ignore[arg-type]


def samples(observation: pal.Observation) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(exposition(observation).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_counters_gauges_and_labels() -> None:
    found = samples(
        observed(
            counters={"events": 5, "view_hits": 3, "view_misses": 1},
            gauges={"tail_bytes": 1024.5, "connections": 5.0, "greeting_connections": 1.0, "paused_connections": 1.0},
            requests={"GetMany": 2},
            refusals={"version_conflict": 4},
        )
    )
    assert found["palimpsest_events_total", ()] == 5
    assert found["palimpsest_tail_bytes", ()] == 1024.5
    assert found["palimpsest_view_cache_requests_total", (("result", "hit"),)] == 3
    assert found["palimpsest_connections", (("state", "open"),)] == 3
    assert found["palimpsest_requests_total", (("kind", "get_many"),)] == 2
    assert found["palimpsest_refusals_total", (("code", "version_conflict"),)] == 4
    assert found["palimpsest_start_time_seconds", ()] == 1_577_836_800
    assert found["palimpsest_info", (("epoch", "0123456789abcdef"), ("release", "palimpsest/1.0"))] == 1


def test_histograms_add_up() -> None:
    found = samples(observed(histograms={"append_seconds": HISTOGRAM}))
    name = "palimpsest_journal_append_seconds"
    assert [found[f"{name}_bucket", (("le", bound),)] for bound in ("0.001", "0.5", "+Inf")] == [7, 9, 10]
    assert (found[f"{name}_count", ()], found[f"{name}_sum", ()]) == (10, 1.25)


def test_every_metric_has_help_and_a_type() -> None:
    text = exposition(observed(counters={"events": 1}, histograms={"append_seconds": HISTOGRAM})).decode()
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")


def test_names_follow_the_conventions() -> None:
    names = [row.whole_name for row in ALL]
    assert len(set(names)) == len(names)
    for row in ALL:
        assert re.fullmatch(r"palimpsest_[a-z_]+", row.whole_name)
        assert not row.name.endswith("_total")
        assert (row.label == "") == (len(row.numbers) <= 1 and row not in (REQUESTS, REFUSALS))


def test_kinds_of_requests_are_told_apart() -> None:
    kinds = [kind_label(kind.__name__) for kind in get_args(m.Request)]
    assert len(set(kinds)) == len(kinds)
    assert kind_label("DeleteSubscription") == "delete_subscription"


@pytest.mark.anyio
async def test_everything_that_a_server_says_is_shown(tmp_path: Path) -> None:
    async with pal.Server(tmp_path / "state.db") as server, server.connect() as client:
        seen = await client.observe()
    shown = {number for row in ROWS for number, _ in row.numbers}
    derived = {"connections", "open_connections"}
    assert {*seen.counters, *seen.gauges, *seen.histograms} | derived == shown | derived


@pytest.mark.anyio
async def test_nothing_that_a_client_chose_is_shown() -> None:
    async with pal.Server.memory() as server:
        async with server.connect() as client:
            token = (await client.tokens.create("secret-principal", roles=["admin"])).text
        async with server.connect(token=token, client_id="secret-client") as client:
            await client.create("secret-document", {"secret": "secret-value"}, by="secret-author")
            with pytest.raises(pal.errors.DocumentNotFound):
                await client.get("secret-document/2")
            async with client.subscribe("secret-place/**"), client.subscribe("**", name="secret-name"):
                shown = exposition(await client.observe()).decode()
    assert "palimpsest_events_total" in shown
    assert "secret" not in shown
    assert token not in shown


# --- readiness -------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_server_that_runs_is_ready() -> None:
    async with pal.Server.memory() as server:
        assert health(await server.observe()) == (True, ())


@pytest.mark.parametrize(
    ("gauges", "reason"),
    [
        ({"closing": 1.0}, "the server is shutting down"),
        ({"tail_bytes": 11.0, "tail_bytes_max": 10.0}, "11 bytes wait to be archived; tail_bytes_max is 10"),
        ({"tail_bytes": 9.0, "tail_bytes_max": 10.0, "refuses_writes": 1.0}, "writes are refused"),
        ({"archiver_alive": 0.0}, "the archiver does not run"),
    ],
)
def test_what_stands_in_the_way_is_said(gauges: dict[str, float], reason: str) -> None:
    assert health(observed(gauges=gauges)) == (False, (reason,))


# --- what is written about them --------------------------------------------------------------------------------------


def test_the_page_has_every_metric() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("| metric |")
    rows = [line.strip("|").split(" | ") for line in rest.split("\n\n")[0].splitlines()[2:]]
    told = {(row[0].strip("` "), row[1].strip(), row[2].strip("` ")) for row in rows}
    assert told == {(row.whole_name, row.kind, "epoch, release" if row is INFO else row.label or "") for row in ALL}
    assert STARTED in ALL


def test_the_dashboard_and_the_alerts_ask_for_what_there_is() -> None:
    known = {row.whole_name for row in ALL}
    known |= {
        f"{row.whole_name}_{part}" for row in ALL if row.kind == "histogram" for part in ("bucket", "sum", "count")
    }
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(expressions) > 15
    for text in (*expressions, PAGE.read_text(encoding="utf-8")):
        for name in re.findall(r"\bpalimpsest_[a-z_]+\b", text):
            assert name in known, name


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    (source,) = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert "id" not in dashboard or dashboard["id"] is None
    for panel in panels:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == f"${{{source['name']}}}"
            assert panel["title"]
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
