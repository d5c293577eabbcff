"""The examples do what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from palimpsest.testing.running import RunningServer

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_inventory_in_a_csv_file(palimpsest_server: RunningServer, tmp_path: Path) -> None:
    run, url, path = example("csv_inventory").run, palimpsest_server.url, tmp_path / "devices.csv"
    path.write_text("site,name,role,slots\nber,b1,leaf,8\nber,b2,spine,16\n", encoding="utf-8")
    assert run(url, path, "pull").startswith("version 1: {'create': 3,")
    assert run(url, path, "pull").startswith("version None: {'create': 0,")
    with palimpsest_server.connect_sync() as client:
        client.update("inventory", {("device", "ber__b1", "attrs", "slots"): 12})
    assert "slots" in run(url, path, "diff")
    run(url, path, "push")
    assert path.read_text(encoding="utf-8").splitlines() == [
        "site,name,role,slots",
        "ber,b1,leaf,12",
        "ber,b2,spine,16",
    ]
