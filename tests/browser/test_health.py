"""Health: numbers that move while somebody looks, and a clear word for whoever may not look."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from playwright.sync_api import Page, expect

import palimpsest as pal
from tests.browser.conftest import Site


def test_updates_show_up(site: Site, page: Page, screenshot: Callable[[Page, str], None]) -> None:
    site.client.create("n", {"n": 0})
    page.goto(f"{site.url}/#/health")
    updates = page.locator(".tile").filter(has_text="Updates").locator("dd")
    expect(updates).to_have_text(re.compile(r"^1\D"))
    for number in range(500):
        site.client.update("n", {"n": number})
    expect(updates).to_have_text(re.compile(r"^501\D"))
    expect(page.get_by_role("img", name="Updates: from accepted to durable")).to_be_visible()
    page.get_by_text("Work as a table").click()
    rates = page.locator(".chart").filter(has_text="Work as a table").get_by_role("cell")
    expect(rates.filter(has_text=re.compile(r"^[1-9].*/s$")).first).to_be_visible()
    screenshot(page, "health")


def test_what_was_refused_is_counted(site: Site, page: Page) -> None:
    for _ in range(3):
        with suppress(pal.errors.DocumentNotFound):
            site.client.get("nothing")
    page.goto(f"{site.url}/#/health")
    expect(page.get_by_role("row").filter(has_text="document_not_found")).to_contain_text("3")


def test_it_can_be_paused(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/#/health")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Go on")).to_have_attribute("aria-pressed", "true")


def test_without_the_right_to_observe(site: Site, page: Page) -> None:
    site.client.roles.put("reader", pal.Role(grants=(pal.Grant(documents="**", actions=("read",)),)))
    admin = site.client.tokens.create("ana", roles=["admin"])
    with pal.connect_sync(site.server_url, token=admin.text) as client:
        token = client.tokens.create("bo", roles=["reader"]).text
    page.goto(f"{site.url}/#/health")
    page.get_by_label("Token", exact=True).fill(token or "")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("You have no right to see this.")).to_be_visible()


def test_nothing_serious_for_those_who_cannot_see_it(
    site: Site, page: Page, dark_page: Page, accessible: Callable[[Page], None]
) -> None:
    for each in (page, dark_page):
        each.goto(f"{site.url}/#/health")
        expect(each.locator(".tile").first).to_be_visible()
        accessible(each)


def test_it_fits_a_phone(site: Site, page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{site.url}/#/health")
    expect(page.locator(".tile").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
