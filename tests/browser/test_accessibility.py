"""Documents and a document, as axe finds them, in both colour schemes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

import palimpsest as pal
from tests.browser.conftest import Site


@pytest.fixture(params=["light", "dark"])
def schemed(request: pytest.FixtureRequest, site: Site, new_page: Callable[..., Page]) -> Page:
    site.client.create(
        "notes/1", {"title": "A", "meta": {"stars": 3, "seen": True, "by": None}, "tags": ["a", "b"]}, by="ana"
    )
    site.client.perspectives.put(pal.Perspective(name="public", documents="notes/*", include=["title"]))
    return new_page(color_scheme=request.param)


def test_documents(site: Site, schemed: Page, accessible: Callable[[Page], None]) -> None:
    schemed.goto(f"{site.url}/")
    expect(schemed.get_by_text("live", exact=True)).to_be_visible()
    site.client.update("notes/1", {"title": "B"}, by="bo", description="better")
    expect(schemed.get_by_role("list", name="Newest changes").get_by_role("listitem")).to_have_count(2)
    settle(schemed)
    accessible(schemed)


def test_making_a_document(site: Site, schemed: Page, accessible: Callable[[Page], None]) -> None:
    schemed.goto(f"{site.url}/")
    schemed.get_by_role("button", name="New document").click()
    expect(schemed.get_by_role("dialog")).to_be_visible()
    accessible(schemed)


def test_a_document_and_its_editing(site: Site, schemed: Page, accessible: Callable[[Page], None]) -> None:
    schemed.goto(f"{site.url}/#/documents/notes/1/value")
    expect(schemed.get_by_label("See it as")).to_be_visible()
    site.client.update("notes/1", {"meta.stars": 4}, by="bo", description="better")
    expect(schemed.get_by_text("changed", exact=True)).to_be_visible()
    accessible(schemed)
    schemed.get_by_role("button", name="Edit", exact=True).click()
    schemed.get_by_role("treeitem").filter(has_text="stars").dblclick()
    schemed.get_by_role("treeitem").get_by_role("textbox").fill("9")
    accessible(schemed)
    schemed.keyboard.press("Enter")
    site.client.update("notes/1", {"meta.stars": 5}, by="bo")
    expect(schemed.get_by_role("button", name="Look at both and choose…")).to_be_visible()
    accessible(schemed)
    schemed.get_by_role("button", name="Look at both and choose…").click()
    accessible(schemed)


def settle(page: Page) -> None:
    """Until what is animated stands still."""
    page.evaluate("Promise.all(document.getAnimations().map(animation => animation.finished))")
