"""A table of an SQLite database, kept in step with a document, in both directions.

    python examples/sqlite_inventory.py palimpsest://127.0.0.1:7411 inventory.db plan     what a run would do
    python examples/sqlite_inventory.py palimpsest://127.0.0.1:7411 inventory.db run      does it

The database is made where there is none. `make` is what the command line takes, with the database in INVENTORY_DB:

    palimpsest reconcile add racks --documents racks --direction both --adapter sqlite_inventory:make
    palimpsest reconcile run racks
"""

from __future__ import annotations

import argparse
import os
import sqlite3
from pathlib import Path
from typing import Any, ClassVar

from diffsync import Adapter, DiffSyncModel

import palimpsest as pal
from palimpsest.sync import AdapterSource, Source

SOURCE = Source(documents="racks", direction="both", rules={"rack.*.attrs.units": "max"}, max_deletes=0.5)


class Rack(DiffSyncModel):
    """A row. Changes are made at once; they are committed once a batch is done, by the adapter."""

    _modelname = "rack"
    _identifiers = ("name",)
    _attributes = ("site", "units")

    name: str
    site: str
    units: int

    @classmethod
    def create(cls, adapter: Any, ids: dict[str, Any], attrs: dict[str, Any]) -> Any:
        values = {**ids, **attrs}
        adapter.database.execute("INSERT INTO rack (name, site, units) VALUES (:name, :site, :units)", values)
        return super().create(adapter, ids, attrs)

    def update(self, attrs: dict[str, Any]) -> Any:
        values = {"name": self.name, "site": self.site, "units": self.units, **attrs}
        self.adapter.database.execute("UPDATE rack SET site = :site, units = :units WHERE name = :name", values)  # type: ignore[union-attr]
        return super().update(attrs)

    def delete(self) -> Any:
        self.adapter.database.execute("DELETE FROM rack WHERE name = ?", (self.name,))  # type: ignore[union-attr]
        return super().delete()


class Database(Adapter):
    rack = Rack
    top_level: ClassVar[list[str]] = ["rack"]

    def __init__(self, path: Path) -> None:
        super().__init__(name=path.name)
        # The calls come from threads, one after the other.
        self.database = sqlite3.connect(path, check_same_thread=False)
        self.database.execute("CREATE TABLE IF NOT EXISTS rack (name TEXT PRIMARY KEY, site TEXT, units INTEGER)")

    def load(self) -> None:
        for name, site, units in self.database.execute("SELECT name, site, units FROM rack ORDER BY name"):
            self.add(Rack(name=name, site=site, units=units))

    def sync_complete(self, *arguments: Any, **named: Any) -> None:
        self.database.commit()

    def close(self) -> None:
        """Called once the adapter is not needed any more."""
        self.database.close()


def make() -> Database:
    """For the command line."""
    return Database(Path(os.environ["INVENTORY_DB"]))


async def reconcile(url: str, path: Path, action: str) -> str:
    """What there is to say about it."""
    async with pal.connect(url) as client:
        await client.reconcile.put("racks", SOURCE, by="sqlite_inventory")
        source = AdapterSource(lambda: Database(path))
        client.reconcile.bind("racks", source)
        try:
            if action == "plan":
                plan = await client.reconcile.plan("racks")
                return f"{plan.id}: {plan.summary}"
            run = await client.reconcile.run("racks")
            return f"{run.outcome}: {run.summary}"
        finally:
            source.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Keeps a table of an SQLite database in step with a document.")
    parser.add_argument("url")
    parser.add_argument("path", type=Path)
    parser.add_argument("action", choices=("plan", "run"))
    arguments = parser.parse_args()
    print(pal.run(lambda: reconcile(arguments.url, arguments.path, arguments.action)))


if __name__ == "__main__":
    main()
