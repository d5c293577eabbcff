"""What is around the pages: the way to them, the colours, who one is, and what is said where something is not there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

import palimpsest as pal
from tests.browser.conftest import Complaints, Site

PAGES = ["Documents", "Merges", "Access", "Reconcile", "Retention", "Health"]


@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_reached_and_its_heading_focused(site: Site, page: Page, name: str) -> None:
    start = "Health" if name == "Documents" else "Documents"
    page.goto(f"{site.url}/#/{start.lower()}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.get_by_role("navigation", name="Console").get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("heading", name="This page cannot be shown")).to_have_count(0)
    expect(page.get_by_role("navigation", name="Console").get_by_role("link", name=name)).to_have_attribute(
        "aria-current", "page"
    )


def test_the_way_back_leads_back(site: Site, page: Page) -> None:
    site.client.create("notes/1", {})
    page.goto(f"{site.url}/#/documents?find=notes")
    page.get_by_role("option", name="notes/1").click()
    expect(page.get_by_role("heading", name="notes/1", level=1)).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Find documents")).to_have_value("notes")


def test_one_can_skip_to_the_content(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_the_colours_are_kept(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Colours: as the system has them").click()
    page.get_by_role("button", name="Colours: light").click()
    expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()
    assert page.evaluate(background) == dark


def test_a_page_that_is_not_there_says_so(site: Site, page: Page, complaints: list[Complaints]) -> None:
    page.goto(f"{site.url}/#/nowhere")
    expect(page.get_by_role("heading", name="This page cannot be shown")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("nowhere")
    assert [said for one in complaints for said in one.take()] != []


def test_a_token_is_asked_for_once_and_used(site: Site, page: Page) -> None:
    site.client.create("notes/1", {"title": "A"})
    grant = pal.Grant(documents="**", actions=("read", "subscribe"))
    site.client.roles.put("reader", pal.Role(grants=(grant,)))
    first = site.client.tokens.create("root", roles=["admin"])
    with pal.connect_sync(site.server_url, token=first.text) as admin:
        token = admin.tokens.create("rita", roles=["reader"]).text
    page.goto(f"{site.url}/")
    assert token is not None
    dialog = page.get_by_role("dialog", name="Who are you?")
    dialog.get_by_label("Token").fill("wrong")
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog.get_by_text("The token was not accepted.")).to_be_visible()
    dialog.get_by_label("Token").fill(token)
    dialog.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("option", name="notes/1")).to_be_visible()
    expect(page.get_by_role("button", name="Who you are: rita")).to_be_visible()
    page.reload()
    expect(page.get_by_role("option", name="notes/1")).to_be_visible()
    expect(dialog).to_have_count(0)


def test_a_page_fits_a_phone(site: Site, new_page: Callable[..., Page]) -> None:
    site.client.create(
        "notes/with-a-rather-long-name-of-its-own/1", {"title": "A" * 400, "list": [{"deep": {"er": [1]}}]}
    )
    page = new_page(viewport={"width": 360, "height": 740})
    for address in ("documents", "documents/notes/with-a-rather-long-name-of-its-own/1/value"):
        page.goto(f"{site.url}/#/{address}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator("[role=option], [role=treeitem]").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
