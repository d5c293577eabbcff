"""The console on a large store, in a browser: how long until there is something to see, and until the documents are listed.

    python -m bench.console_paint URL ROUNDS

Run as a program, it opens the console so many times, each in a browser that knows nothing of it yet, and prints one line of JSON. Times are the
browser's own, from the beginning of the navigation.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop

import palimpsest
from bench import processes, workload
from bench.gateway import GatewayPeer
from bench.results import Single

_FILL_TASKS = 256
_DOCUMENTS_OF_A_FOLDER = 1_000
_PAINT_MILLISECONDS_MAX = 60_000
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_ROW = "[role=option] [title]"
"""A document in the list."""
_WATCH = f"""
new MutationObserver((_, observer) => {{
  if (document.querySelector('{_ROW}') === null) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => {{ window.listedAt = performance.now(); }}));
}}).observe(document, {{ childList: true, subtree: true }});
"""
"""Runs before anything of the page does. Listed is what has been painted: what comes after the next frame began."""
_FIRST_PAINT = "(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null)"


class ConsoleSize(msgspec.Struct, frozen=True):
    """documents: at least as many as every store of a bench has."""

    documents: int
    rounds: int


def chromium() -> str | None:
    """Where the browser is; None where the machine has none."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


def measure_console(directory: Path | None, size: ConsoleSize) -> list[Single]:
    """directory: where the store lies, removed again; None for the system's own place. Raises PeerFailed."""
    with GatewayPeer(directory) as peer:
        uvloop.run(_fill(peer.url, size.documents - workload.DOCUMENTS))
        processes.settle(peer.pid)
        command = [sys.executable, "-m", "bench.console_paint", f"http://{peer.host}:{peer.http_port}/"]
        seconds_max = 60 + size.rounds * _PAINT_MILLISECONDS_MAX / 1_000
        output = processes.run([*command, str(size.rounds)], seconds_max=seconds_max)
    found = msgspec.json.decode(output, type=dict[str, float])
    store = f"a store of {size.documents:,} documents"
    return [
        Single("console_paint_us", f"first paint of the console on {store}, p50", 1_000 * found["paint_ms"], "us"),
        Single("console_listed_us", "  until documents are listed, p50", 1_000 * found["listed_ms"], "us"),
        Single("console_bytes", "  what came over the network for that", found["bytes"], "bytes"),
    ]


async def _fill(url: str, documents: int) -> None:
    async with palimpsest.connect(url) as client:

        async def work(first: int) -> None:
            for number in range(first, documents, _FILL_TASKS):
                name = f"notes/{number // _DOCUMENTS_OF_A_FOLDER:04d}/{number:07d}"
                await client.create(name, {"title": f"note {number}", "tags": ["bench"]})

        await asyncio.gather(*[work(first) for first in range(min(_FILL_TASKS, documents))])


def paint(url: str, rounds: int, executable: str) -> dict[str, float]:
    """Medians: paint_ms, listed_ms, and the bytes that came until the list was there."""
    from playwright.sync_api import sync_playwright

    turns: list[dict[str, float]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_ARGUMENTS))
        try:
            for _ in range(rounds):
                turns.append(_paint_once(browser, url))
        finally:
            browser.close()
    return {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}


def _paint_once(browser: Any, url: str) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1_400, "height": 900})
    try:
        page = context.new_page()
        page.set_default_timeout(_PAINT_MILLISECONDS_MAX)
        page.add_init_script(_WATCH)
        page.goto(url, wait_until="commit")
        page.locator(_ROW).first.wait_for()
        page.wait_for_function("window.listedAt !== undefined && " + _FIRST_PAINT + " !== null")
        sizes = "performance.getEntries().reduce((sum, entry) => sum + (entry.transferSize ?? 0), 0)"
        return {
            "paint_ms": page.evaluate(_FIRST_PAINT),
            "listed_ms": page.evaluate("window.listedAt"),
            "bytes": page.evaluate(sizes),
        }
    finally:
        context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Opens the console again and again; prints one line of JSON.")
    parser.add_argument("url")
    parser.add_argument("rounds", type=int)
    arguments = parser.parse_args()
    executable = chromium()
    if executable is None:
        sys.exit("there is no chromium here")
    sys.stdout.write(msgspec.json.encode(paint(arguments.url, arguments.rounds, executable)).decode() + "\n")


if __name__ == "__main__":
    main()
