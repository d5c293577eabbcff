"""An inventory in two places: a table that others keep, and documents that a team changes. Both change; neither loses.

    python examples/inventory.py

The table is a file of CSV, read and written by an adapter that is plain DiffSync. A reconciliation compares three things: the file, the
document, and what both agreed on last. So what was deleted there is told apart from what was added here, and only what both changed
differently has to be decided.
"""

from __future__ import annotations

import csv
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from diffsync import Adapter, DiffSyncModel

import palimpsest as pal
from palimpsest.sync import AdapterSource, Plan, Source

COLUMNS = ("name", "site", "slots")
RACKS = [("b1", "berlin", 42), ("b2", "berlin", 48), ("m1", "milan", 24)]
SOURCE = Source(documents="inventory", direction="both", max_deletes=0.5)


class Rack(DiffSyncModel):
    _modelname = "rack"
    _identifiers = ("name",)
    _attributes = ("site", "slots")

    name: str
    site: str
    slots: int


class Table(Adapter):
    """The file. It is written once a batch of changes is done."""

    rack = Rack
    top_level: ClassVar[list[str]] = ["rack"]

    def __init__(self, path: Path) -> None:
        super().__init__(name=path.name)
        self.path = path

    def load(self) -> None:
        for name, site, slots in read(self.path):
            self.add(Rack(name=name, site=site, slots=slots))

    def sync_complete(self, *arguments: Any, **named: Any) -> None:
        write(self.path, [(rack.name, rack.site, rack.slots) for rack in self.get_all(Rack)])  # type: ignore[attr-defined]


def read(path: Path) -> list[tuple[str, str, int]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["name"], row["site"], int(row["slots"])) for row in csv.DictReader(file)]


def write(path: Path, racks: list[tuple[str, str, int]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(sorted(racks))


def show(plan: Plan) -> None:
    for row in sorted(plan.rows, key=lambda row: (row.direction, row.id)):
        print(f"  {row.direction:3} {row.action} {row.id}: {row.outcome}")


async def reconcile(client: pal.Client, path: Path) -> None:
    await client.reconcile.put("table", SOURCE, by="ana")
    client.reconcile.bind("table", AdapterSource(partial(Table, path)))
    first = await client.reconcile.run("table")
    print("first run:", first.summary)

    # Others take b2 out of the table, and give b1 more slots. The team moves b1, corrects its slots, too, and adds a rack.
    write(path, [("b1", "berlin", 44), ("m1", "milan", 24)])
    corrected = {"rack.b1.attrs.site": "bremen", "rack.b1.attrs.slots": 40}
    await client.update("inventory", corrected, by="team", description="counted")
    added = {"identifiers": {"name": "p1"}, "attrs": {"site": "porto", "slots": 12}}
    await client.update("inventory", {"rack.p1": added}, by="team")

    plan = await client.reconcile.plan("table")
    print("a plan, which changes nothing:")
    show(plan)

    run = await client.reconcile.apply(
        plan, select=lambda row: row.action != "delete"
    )  # somebody looks into that first
    print("applied all but the deletion:", run.outcome)
    for conflict in run.conflicts:
        print(f"  {conflict['path']} was {conflict['base']}, is {conflict['ours']} here and {conflict['theirs']} there")
    await client.resolve(run.merges["inventory"], {"rack.b1.attrs.slots": pal.OURS}, by="ana")

    last = await client.reconcile.run("table")
    print("last run:", last.outcome, last.summary)
    plan = await client.reconcile.plan("table")
    print("in step:", plan.is_empty, read(path))

    said = await client.blame("inventory", path="rack.m1.attrs.slots")
    version = said["rack.m1.attrs.slots"]
    print("slots of m1 came in version", version.version, "of the branch", version.branch)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "racks.csv"
        write(path, RACKS)
        async with pal.Server.memory() as server, server.connect() as client:
            await reconcile(client, path)


if __name__ == "__main__":
    pal.run(main)
