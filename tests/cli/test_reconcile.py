from __future__ import annotations

import json
from typing import Any

import pytest

from palimpsest.cli.exits import Exit
from palimpsest.cli.reconcile import plan_lines, run_lines
from palimpsest.client.plans import Plan, Run
from palimpsest.state.reconciliation import Row


class Line:
    """Command lines that are to end as they say."""

    def __init__(self, palimpsest: Any) -> None:
        self._palimpsest = palimpsest

    def __call__(self, *words: str, stdin: str | None = None, fails: Exit = Exit.OK) -> Any:
        done = self._palimpsest(*words, stdin=stdin)
        assert done.exit_code == fails, done.stderr
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json").stdout)


@pytest.fixture
def line(palimpsest: Any) -> Line:
    return Line(palimpsest)


def pushed(line: Line, racks: dict[str, int]) -> None:
    snapshot = {"rack": {name: {"units": units} for name, units in racks.items()}}
    line("reconcile", "push", "box", stdin=json.dumps(snapshot))


@pytest.fixture
def story(line: Line) -> None:
    """A source whose snapshots are pushed; one run of it."""
    line("reconcile", "add", "box", "--documents", "inv", "--max-deletes", "50%", "--rule", "rack.x=ours")
    pushed(line, {"a": 1, "b": 2, "c": 3})
    line("reconcile", "run", "box")


def test_a_plan_and_a_part_of_it(line: Line, story: None) -> None:
    pushed(line, {"a": 9, "b": 2, "d": 4})
    plan = line.json("reconcile", "plan", "box")
    assert plan["summary"] == {"in.create": 1, "in.delete": 1, "in.update": 1}
    shown = line("reconcile", "show", plan["id"]).stdout
    assert "~ rack a  into the document" in shown
    assert "- rack c" in shown
    done = line("reconcile", "apply", plan["id"], "--select", "action=update", "--yes")
    assert "applied  1 in.update" in done.stdout
    assert line.json("get", "inv")["value"]["rack"] == {"a": {"units": 9}, "b": {"units": 2}, "c": {"units": 3}}
    again = line("reconcile", "apply", plan["id"], "--yes", fails=Exit.CONFLICT)
    assert "not as planned any more: inv" in again.stderr
    [moved, *_] = line.json("reconcile", "runs", "box")
    assert (moved["outcome"], moved["moved"]) == ("moved", ["inv"])
    assert "inv has moved" in line("reconcile", "show", moved["id"]).stdout


def test_conflicts(line: Line, story: None) -> None:
    pushed(line, {"a": 9, "b": 2, "c": 3})
    line("update", "inv", "rack.a.units=8")
    done = line("reconcile", "run", "box", fails=Exit.CONFLICT)
    assert "1 conflict in inv: rack.a.units" in done.stdout
    [run, _] = line.json("reconcile", "runs", "box")
    line("resolve", run["merges"]["inv"], "rack.a.units=theirs")
    assert line.json("get", "inv")["value"]["rack"]["a"] == {"units": 9}


def test_too_many_deletes(line: Line, story: None) -> None:
    pushed(line, {"a": 1})
    assert "2 deletes, and at most 1" in line("reconcile", "plan", "box").stdout
    assert "2 deletes" in line("reconcile", "run", "box", fails=Exit.USAGE).stderr
    assert "refused: 2 deletes" in line("reconcile", "sources").stdout
    line("reconcile", "run", "box", "--force")
    [source] = line.json("reconcile", "sources")
    assert (source["name"], source["max_deletes"], source["state"]["last_outcome"]) == ("box", 0.5, "applied")
    assert "box  inv  in  applied" in line("reconcile", "sources").stdout
    assert len(line("reconcile", "runs", "box", "--limit", "2").stdout.splitlines()) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["add", "box", "--documents", "a/*"],
        ["add", "box", "--documents", "a", "--direction", "up"],
        ["add", "box", "--documents", "a", "--max-deletes", "many"],
        ["add", "box", "--documents", "a", "--adapter", "x", "--on-conflict", "guess"],
        ["apply", "box/1", "--select", "colour=red", "--yes"],
        ["plan", "box", "--adapter", "no_such_module:make"],
        ["run", "box", "--forever"],
    ],
    ids=" ".join,
)
def test_what_is_refused(line: Line, story: None, words: list[str]) -> None:
    line("reconcile", *words, fails=Exit.USAGE)


def test_what_is_not_there(line: Line) -> None:
    line("reconcile", "plan", "box", fails=Exit.NOT_FOUND)
    line("reconcile", "show", "box/1", fails=Exit.NOT_FOUND)
    assert line("reconcile", "sources").stdout == ""


def test_a_snapshot_that_is_not_json(line: Line, story: None) -> None:
    assert "not JSON" in line("reconcile", "push", "box", stdin="{", fails=Exit.USAGE).stderr


def test_lines_for_people() -> None:
    rows = [Row(document="d", path=("m", str(n)), model="m", id=str(n), direction="out") for n in range(60)]
    lines = [one.plain for one in plan_lines(Plan(id="box/1", source="box", at_microseconds=0, rows=rows))]
    assert lines[0] == "box/1  60 out.update"
    assert lines[1] == "  ~ m 0  outside"
    assert lines[-1] == "  and 10 more"
    failure = {"document": "d", "model": "m", "id": "1", "action": "create", "message": "no"}
    run = Run(id="box/2", source="box", outcome="partial", failures=[failure], moved=["e"], merges={"d": "77"})
    assert [one.plain for one in run_lines(run)] == [
        "box/2  partial  nothing done",
        "  d waits as merge 77",
        "  e has moved",
        "  create m 1: no",
    ]
