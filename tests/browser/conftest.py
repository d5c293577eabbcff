"""The console in a real browser: a server, its gateway and Chromium, each started once; and a page that fails its test for whatever goes wrong in it.

    def test_a_flow(site, page):
        site.client.create("notes/1", {"title": "A"})
        page.goto(f"{site.url}/#/documents")

A test has a server of its own, in memory. `page` is 1,400 pixels wide; `page.set_viewport_size` makes it a phone. Tests wait by Playwright's
expectations, and never for a time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from anyio.from_thread import start_blocking_portal
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

import palimpsest as pal
from palimpsest.web import Gateway

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
IMAGES = Path(__file__).parents[2] / "docs" / "images"
SCREENSHOT_BYTES_MAX = 150_000
WIDTH, HEIGHT = 1_400, 900
EXPECTATION_MILLISECONDS = 15_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", action="store_true", default=False, help="write the screenshots of the documents anew"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


class Site(NamedTuple):
    """A server with its gateway. client: may do everything."""

    url: str
    client: pal.SyncClient
    server_url: str


@pytest.fixture
def site() -> Iterator[Site]:
    """A store in memory, empty, without tokens."""
    with ExitStack() as exits:
        portal = exits.enter_context(start_blocking_portal())
        server = exits.enter_context(portal.wrap_async_context_manager(pal.Server.memory()))
        gateway = exits.enter_context(portal.wrap_async_context_manager(Gateway(server.url)))
        client = exits.enter_context(pal.connect_sync(server.url))
        yield Site(gateway.url, client, server.url)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.fail(f"the console is tested in Chromium, and there is none at {CHROMIUM}; set CHROMIUM to where it is")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


class Complaints:
    """What went wrong in a page beside what a test looks at: exceptions, what the policy refused, files that are not there, bugs of the gateway."""

    def __init__(self, page: Page, url: str) -> None:
        self.found: list[str] = []
        self._url = url
        page.on("pageerror", lambda error: self.found.append(f"exception: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)
        page.on("response", lambda answer: self._answered(answer.status, answer.url))

    def take(self) -> list[str]:
        """What was found so far, for a test that expects it: it is not held against the page any more."""
        found, self.found = self.found, []
        return found

    def _console(self, message: ConsoleMessage) -> None:
        # What the gateway refuses is said to the page, which has to deal with it; the browser writes a line about each all the same.
        is_refusal = message.text.startswith("Failed to load resource")
        if message.type in ("error", "warning") and not is_refusal:
            self.found.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._url, "data:", "blob:")):
            self.found.append(f"asked someone else: {request.url}")

    def _answered(self, status: int, url: str) -> None:
        if status >= 500 or (status >= 400 and "/console/" in url):
            self.found.append(f"{status}: {url}")


@pytest.fixture
def complaints() -> list[Complaints]:
    """One for each page of the test."""
    return []


@pytest.fixture
def new_page(browser: Browser, site: Site, complaints: list[Complaints]) -> Iterator[Callable[..., Page]]:
    """Makes pages, each with a session of its own; options as of Playwright's `new_context`."""
    with ExitStack() as exits:

        def make(**options: Any) -> Page:
            options = {
                "viewport": {"width": WIDTH, "height": HEIGHT},
                "locale": "en-GB",
                "timezone_id": "UTC",
            } | options
            context = browser.new_context(**options)
            exits.callback(context.close)
            context.set_default_timeout(EXPECTATION_MILLISECONDS)
            made = context.new_page()
            complaints.append(Complaints(made, site.url))
            return made

        yield make
    found = [each for one in complaints for each in one.found]
    assert not found, "the page complained:\n" + "\n".join(found)


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    return new_page()


@pytest.fixture
def dark_page(new_page: Callable[..., Page]) -> Page:
    return new_page(color_scheme="dark")


@pytest.fixture
def screenshot(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Writes `docs/images/console-NAME.png`, where that was asked for."""

    def take(page: Page, name: str) -> None:
        if not request.config.getoption("--screenshots", default=False):
            return
        file = IMAGES / f"console-{name}.png"
        page.screenshot(path=file, animations="disabled")
        assert file.stat().st_size < SCREENSHOT_BYTES_MAX, f"{file.name} has {file.stat().st_size:,} bytes"

    return take


@pytest.fixture
def accessible() -> Callable[[Page], None]:
    """Fails where axe finds something serious or critical in the page as it is now."""

    def check(page: Page) -> None:
        found = Axe().run(page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        assert not serious, "\n\n".join(_said(one) for one in serious)

    return check


def _said(violation: dict[str, Any]) -> str:
    nodes = "\n".join(
        f"  {node['html'][:200]}\n    {node.get('failureSummary', '')}" for node in violation["nodes"][:5]
    )
    return f"{violation['id']} ({violation['impact']}): {violation['help']}\n{nodes}"
