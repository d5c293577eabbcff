"""The examples about reconciliation do what they say."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import palimpsest as pal
from palimpsest.cli.main import app
from palimpsest.testing.running import RunningServer, running_server

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def another() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


def rows(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT name, site, units FROM rack ORDER BY name").fetchall()


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


def test_a_table_of_a_database(palimpsest_server: RunningServer, tmp_path: Path) -> None:
    module, url, path = example("sqlite_inventory"), palimpsest_server.url, tmp_path / "inventory.db"

    def go(action: str) -> str:
        said: str = pal.run(lambda: module.reconcile(url, path, action))
        return said

    assert go("run") == "applied: {}"
    execute(path, "INSERT INTO rack VALUES ('b1', 'ber', 42), ('b2', 'ber', 48)")
    assert go("plan").endswith("{'in.create': 2}")
    assert go("run") == "applied: {'in.create': 2}"
    with palimpsest_server.connect_sync() as client:
        assert client.get("racks").value["rack"]["b1"]["attrs"] == {"site": "ber", "units": 42}
        new = {"identifiers": {"name": "m1"}, "attrs": {"site": "muc", "units": 10}}
        client.update("racks", {"rack.m1": new, "rack.b1.attrs.units": 44})
        execute(path, "DELETE FROM rack WHERE name = 'b2'")
        execute(path, "UPDATE rack SET units = 40, site = 'zrh' WHERE name = 'b1'")
        assert go("run") == "applied: {'in.delete': 1, 'in.update': 1, 'out.create': 1, 'out.update': 1}"
        assert rows(path) == [("b1", "zrh", 44), ("m1", "muc", 10)]
        assert client.get("racks").value["rack"].keys() == {"b1", "m1"}
        client.update("racks", {"rack.m1": pal.DELETE})
    assert go("run") == "applied: {'out.delete': 1}"
    assert rows(path) == [("b1", "zrh", 44)]


def test_a_database_on_the_command_line(
    palimpsest_server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "inventory.db"
    monkeypatch.setenv("INVENTORY_DB", str(path))
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "sqlite_inventory", raising=False)

    def line(*words: str) -> Any:
        done = CliRunner().invoke(app, ["--url", palimpsest_server.url, "reconcile", *words, "--json"])
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    line("add", "racks", "--documents", "racks", "--direction", "both", "--adapter", "sqlite_inventory:make")
    assert line("run", "racks")["outcome"] == "applied"
    execute(path, "INSERT INTO rack VALUES ('b1', 'ber', 42), ('b2', 'ber', 48)")
    plan = line("plan", "racks")
    assert plan["summary"] == {"in.create": 2}
    run = line("apply", plan["id"], "--select", "id=b1", "--yes")
    assert run["summary"] == {"in.create": 1}
    assert line("show", run["id"]) == run
    monkeypatch.delitem(sys.modules, "sqlite_inventory", raising=False)


def test_two_servers(palimpsest_server: RunningServer, another: RunningServer) -> None:
    module = example("two_servers")

    def go() -> Any:
        return pal.run(lambda: module.run(palimpsest_server.url, another.url))

    with palimpsest_server.connect_sync() as here, another.connect_sync() as there:
        here.create("shared/a", {"n": 1})
        there.create("shared/b", {"n": 2, "text": "long"})
        there.create("private", 1)
        assert go().summary == {"in.create": 1, "out.create": 1}
        here.update("shared/b", {"n": 5})
        there.update("shared/b", {"text": "longer"})
        there.delete("shared/a")
        assert go().outcome == "applied"
        for client in (here, there):
            assert list(client.list()) == (["shared/b"] if client is here else ["private", "shared/b"])
            assert client.get("shared/b").value == {"n": 5, "text": "longer"}
        here.update("shared/b", {"n": 6})
        there.update("shared/b", {"n": 7})
        came = go()
        assert came.outcome == "conflict"
        here.resolve(came.merges["shared/b"], {"n": pal.OURS})
        assert go().outcome == "applied"
        assert there.get("shared/b").value["n"] == 6
        here.delete("shared/b")
        assert go().summary == {"out.delete": 1}
        assert list(there.list()) == ["private"]
