"""Reconciliation: a plan is looked at, some of it is left out, the rest is applied."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from palimpsest.state.sources import Source
from tests.browser.conftest import Site

HERE = {
    "site": {"lis": {"name": "Lisbon", "racks": 4}, "por": {"name": "Porto", "racks": 2}},
    "device": {"r1": {"site": "lis", "model": "x"}},
}
OUTSIDE = {
    "site": {
        "lis": {"name": "Lisbon", "racks": 5},
        "por": {"name": "Porto", "racks": 2},
        "bra": {"name": "Braga", "racks": 1},
    },
    "device": {"r1": {"site": "lis", "model": "y"}},
}


@pytest.fixture
def inventory(site: Site) -> Site:
    site.client.create("inventory", HERE, by="ana")
    site.client.reconcile.put("racks", Source(documents="inventory", description="what stands in the racks"))
    site.client.reconcile.push("racks", HERE)
    site.client.reconcile.run("racks")
    site.client.reconcile.push("racks", OUTSIDE)
    return site


def test_a_plan_is_looked_at_and_some_of_it_applied(
    inventory: Site, page: Page, screenshot: Callable[[Page, str], None]
) -> None:
    page.goto(f"{inventory.url}/#/reconcile")
    page.get_by_role("button", name="Make a plan for racks").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A plan")
    expect(page.get_by_role("button", name="Apply 3 changes…")).to_be_enabled()
    screenshot(page, "plan")
    page.get_by_role("checkbox", name="device").uncheck()
    expect(page.get_by_role("row").filter(has_text="r1")).to_contain_text("left out")
    page.get_by_role("button", name="Apply 2 changes…").click()
    page.get_by_role("dialog").get_by_role("button", name="Apply").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A run")
    expect(page.get_by_text("1 created, 1 updated")).to_be_visible()
    value = inventory.client.get("inventory").value
    assert value["site"]["bra"] == {"name": "Braga", "racks": 1}
    assert value["site"]["lis"]["racks"] == 5
    assert value["device"]["r1"]["model"] == "x"


def test_the_runs_of_a_source(inventory: Site, page: Page) -> None:
    page.goto(f"{inventory.url}/#/reconcile")
    page.get_by_text("Runs of racks").click()
    page.get_by_role("region", name="Runs").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A run")
    expect(page.get_by_text("applied", exact=True)).to_be_visible()


def test_a_document_that_moved_is_left_alone(inventory: Site, page: Page) -> None:
    page.goto(f"{inventory.url}/#/reconcile")
    page.get_by_role("button", name="Make a plan for racks").click()
    expect(page.get_by_role("button", name="Apply 3 changes…")).to_be_enabled()
    inventory.client.update("inventory", {"site.lis.racks": 9})
    page.get_by_role("button", name="Apply 3 changes…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Apply").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    assert inventory.client.get("inventory").value["site"]["lis"]["racks"] == 9


def test_nothing_serious_for_those_who_cannot_see_it(
    inventory: Site, page: Page, dark_page: Page, accessible: Callable[[Page], None]
) -> None:
    plan = inventory.client.reconcile.plan("racks")
    for each in (page, dark_page):
        each.goto(f"{inventory.url}/#/reconcile")
        expect(each.get_by_role("button", name="Make a plan for racks")).to_be_visible()
        accessible(each)
        each.goto(f"{inventory.url}/#/reconcile/plans/{plan.id}")
        expect(each.get_by_role("button", name="Apply 3 changes…")).to_be_visible()
        accessible(each)
