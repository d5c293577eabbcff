"""An inventory in a CSV file, kept in step with a document.

    python examples/csv_inventory.py palimpsest://127.0.0.1:7411 devices.csv pull     the document becomes what the file says
    python examples/csv_inventory.py palimpsest://127.0.0.1:7411 devices.csv push     the file becomes what the document says
    python examples/csv_inventory.py palimpsest://127.0.0.1:7411 devices.csv diff     neither changes

The file has the columns site, name, role and slots.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any, ClassVar

from diffsync import Adapter, DiffSyncModel
from pydantic import Field

import palimpsest as pal
from palimpsest.sync import PalimpsestAdapter

COLUMNS = ("site", "name", "role", "slots")


class Site(DiffSyncModel):
    _modelname = "site"
    _identifiers = ("name",)
    _children: ClassVar[dict[str, str]] = {"device": "devices"}

    name: str
    devices: list[str] = Field(default_factory=list)


class Device(DiffSyncModel):
    _modelname = "device"
    _identifiers = ("site", "name")
    _attributes = ("role", "slots")

    site: str
    name: str
    role: str
    slots: int


class Inventory(PalimpsestAdapter):
    """In the document."""

    site = Site
    device = Device
    top_level: ClassVar[list[str]] = ["site"]


class CsvInventory(Adapter):
    """In the file, which is written whole at the end of a synchronization."""

    site = Site
    device = Device
    top_level: ClassVar[list[str]] = ["site"]

    def __init__(self, path: Path) -> None:
        super().__init__(name=path.name)
        self.path = path

    def load(self) -> None:
        with self.path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                device = Device(site=row["site"], name=row["name"], role=row["role"], slots=int(row["slots"]))
                self.add(device)
                self.get_or_instantiate(Site, {"name": row["site"]})[0].add_child(device)  # type: ignore[attr-defined]

    def sync_complete(self, *arguments: Any, **named: Any) -> None:
        with self.path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(item.model_dump(include=set(COLUMNS)) for item in self.get_all("device"))


def run(url: str, path: Path, action: str) -> str:
    """What there is to say about it."""
    with pal.connect_sync(url) as client:
        stored = Inventory(client, doc="inventory", by="csv_inventory", description=f"from {path.name}")
        outside = CsvInventory(path)
        stored.load()
        if path.exists():
            outside.load()
        if action == "diff":
            return stored.diff_from(outside).str()
        if action == "push":
            return str(outside.sync_from(stored).summary())
        stored.sync_from(outside)
        return f"version {stored.result.version}: {stored.result.summary}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Keeps an inventory in a CSV file in step with a document.")
    parser.add_argument("url")
    parser.add_argument("path", type=Path)
    parser.add_argument("action", choices=("pull", "push", "diff"))
    arguments = parser.parse_args()
    print(run(arguments.url, arguments.path, arguments.action))


if __name__ == "__main__":
    main()
