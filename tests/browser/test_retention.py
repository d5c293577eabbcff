"""Retention: policies, what pruning would free, and pruning once that is confirmed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site


@pytest.fixture
def logs(site: Site) -> Site:
    for name in ("logs/a", "logs/b"):
        site.client.create(name, {"n": 0})
        for number in range(30):
            site.client.update(name, {"n": number})
    return site


def test_what_would_be_freed_is_shown_before_it_is(
    logs: Site, page: Page, screenshot: Callable[[Page, str], None]
) -> None:
    page.goto(f"{logs.url}/#/retention")
    form = page.get_by_role("region", name="What would it free?")
    form.get_by_label("Documents").fill("logs/**")
    form.get_by_label("Newest versions").fill("10")
    form.get_by_role("button", name="Show what it would free").click()
    expect(page.locator("main").get_by_text("42 versions of 2 documents would go")).to_be_visible()
    screenshot(page, "retention")
    assert len(list(logs.client.history("logs/a"))) == 31, "nothing has been done"
    page.get_by_role("button", name="Prune now…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Prune")).to_be_disabled()
    dialog.get_by_label("Type logs/** to confirm").fill("logs/**")
    dialog.get_by_role("button", name="Prune").click()
    expect(page.locator("main").get_by_text("42 versions of 2 documents pruned")).to_be_visible()
    assert len(list(logs.client.history("logs/a"))) == 10


def test_a_policy_is_made_edited_and_deleted(logs: Site, page: Page) -> None:
    page.goto(f"{logs.url}/#/retention")
    page.get_by_role("button", name="New policy").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("logs")
    dialog.get_by_label("Documents").fill("logs/**")
    dialog.get_by_label("Newest versions").fill("5")
    dialog.get_by_label("Days").fill("7")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row").filter(has_text="the newest 5, and what is younger than 7 days")).to_be_visible()
    kept = logs.client.retention.get("logs")
    assert (kept.documents, kept.versions, kept.seconds) == ("logs/**", 5, 7 * 86_400)
    page.get_by_role("button", name="Edit the policy logs").click()
    dialog.get_by_label("Newest versions").fill("6")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row").filter(has_text="the newest 6")).to_be_visible()
    page.get_by_role("button", name="What would the policy logs free?").click()
    expect(page.locator("main").get_by_text("Nothing would go.")).to_be_visible()
    page.get_by_role("button", name="Delete the policy logs").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There is no policy: everything is kept.")).to_be_visible()
    assert list(logs.client.retention.list()) == []


def test_nothing_serious_for_those_who_cannot_see_it(
    logs: Site, page: Page, dark_page: Page, accessible: Callable[[Page], None]
) -> None:
    for each in (page, dark_page):
        each.goto(f"{logs.url}/#/retention")
        expect(each.get_by_role("heading", name="The largest")).to_be_visible()
        accessible(each)
