"""Documents of two Palimpsest servers, kept in step: those under `shared/`, in both directions.

    python examples/two_servers.py palimpsest://127.0.0.1:7411 palimpsest://127.0.0.1:7412

What each server changed since the last run happens on the other one, too. What both changed differently waits as a pending merge on the
first server: `palimpsest merges` lists them, and `palimpsest resolve` decides.
"""

from __future__ import annotations

import argparse

import palimpsest as pal
from palimpsest.sync import PeerSource, Run, Source

SOURCE = Source(documents="shared/**", direction="both", on_conflict="rebase")


async def reconcile(here: pal.Client, there: pal.Client, name: str = "peer") -> Run:
    """One run. Where it is to go on for ever, give the source an interval and call `here.reconcile.schedule`."""
    await here.reconcile.put(name, SOURCE, by="two_servers")
    here.reconcile.bind(name, PeerSource(there, SOURCE, by="two_servers"))
    return await here.reconcile.run(name)


async def run(first: str, second: str) -> Run:
    async with pal.connect(first) as here, pal.connect(second) as there:
        return await reconcile(here, there)


def main() -> None:
    parser = argparse.ArgumentParser(description="Keeps documents of two servers in step.")
    parser.add_argument("first")
    parser.add_argument("second")
    arguments = parser.parse_args()
    came = pal.run(lambda: run(arguments.first, arguments.second))
    print(f"{came.outcome}: {came.summary}")
    for document, merge in came.merges.items():
        print(f"{document} waits as merge {merge}")


if __name__ == "__main__":
    main()
