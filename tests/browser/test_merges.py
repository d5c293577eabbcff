"""Merges: what is pending, and conflicts decided by a click or by editing."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

import palimpsest as pal
from tests.browser.conftest import Site

NAME = "notes/plan"
TEXT = "The quick brown fox jumps over the lazy dog, and goes on its way. " * 3


@pytest.fixture
def pending(site: Site) -> str:
    """The id of a merge of draft into main with four conflicts, at: body.end, body.intro, text, title."""
    client = site.client
    client.create(NAME, {"title": "A", "body": {"intro": "a", "end": "z"}, "stars": 0, "text": TEXT}, by="ana")
    client.branch(NAME, "draft", by="bo")
    theirs = {
        "title": "B",
        "body.intro": "b",
        "body.end": "y",
        "stars": 5,
        "text": TEXT.replace("quick", "slow"),
    }
    client.update(NAME, theirs, branch="draft", by="bo")
    ours = {"title": "C", "body.intro": "c", "body.end": pal.DELETE, "text": TEXT.replace("lazy", "sleepy")}
    client.update(NAME, ours, by="cy")
    merge = client.merge(NAME, source="draft", by="ana", description="better words")
    assert merge.merge_id is not None
    return merge.merge_id


def conflict(page: Page, path: str) -> Locator:
    return page.get_by_role("group", name=re.compile(f"{re.escape(path)}\\s*(open|decided)$"))


def test_pending_merges_are_listed_and_come_live(
    site: Site, pending: str, page: Page, screenshot: Callable[[Page, str], None]
) -> None:
    page.goto(f"{site.url}/#/merges")
    row = page.get_by_role("row").filter(has_text="draft → main")
    expect(row).to_contain_text(NAME)
    expect(row.locator("td.number")).to_have_text("4")
    expect(row).to_contain_text("better words")
    screenshot(page, "merges")
    site.client.create("notes/two", {"n": 1})
    site.client.branch("notes/two", "other")
    site.client.update("notes/two", {"n": 2}, branch="other")
    site.client.update("notes/two", {"n": 3})
    site.client.merge("notes/two", source="other")
    expect(page.get_by_role("row").filter(has_text="other → main")).to_be_visible()
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Merge of draft into main")).to_be_focused()


def test_conflicts_stand_side_by_side(
    site: Site, pending: str, page: Page, screenshot: Callable[[Page, str], None]
) -> None:
    page.goto(f"{site.url}/#/merges/{pending}")
    end = conflict(page, "body.end")
    expect(end.locator(".base")).to_contain_text('"z"')
    expect(end.locator(".base")).to_contain_text("main:1")
    expect(end.locator(".ours")).to_contain_text("nothing")
    expect(end.locator(".ours")).to_contain_text("deleted it")
    expect(end.locator(".theirs")).to_contain_text('"y"')
    text = conflict(page, "text")
    expect(text.locator(".ours ins").first).to_have_text("sleepy")
    expect(text.locator(".theirs ins").first).to_have_text("slow")
    page.get_by_text("What comes together by itself").click()
    expect(page.get_by_role("listitem").filter(has_text="stars")).to_be_visible()
    conflict(page, "body.intro").get_by_role("radio", name="Theirs").check()
    screenshot(page, "conflicts")


def test_conflicts_are_resolved_by_click_and_by_editing(site: Site, pending: str, page: Page) -> None:
    page.goto(f"{site.url}/#/merges/{pending}")
    commit = page.get_by_role("button", name="Commit the merge")
    expect(page.get_by_text("0 of 4 conflicts decided").first).to_be_visible()
    expect(commit).to_be_disabled()
    conflict(page, "body.intro").get_by_role("radio", name="Theirs").check()
    expect(conflict(page, "body.intro").locator(".conflict-result")).to_have_text(re.compile('"b"'))
    conflict(page, "body.end").get_by_role("radio", name="As before").check()
    conflict(page, "text").get_by_role("radio", name="Ours").check()
    title = conflict(page, "title")
    title.get_by_role("radio", name="Another value").check()
    editor = title.get_by_label("Value, as JSON")
    expect(editor).to_have_value('"C"')
    editor.fill('"B and')
    expect(title.get_by_role("alert")).to_contain_text("not JSON")
    expect(commit).to_be_disabled()
    editor.fill('"B and C"')
    expect(title.locator(".conflict-result")).to_contain_text("B and C")
    expect(page.get_by_text("4 of 4 conflicts decided").first).to_be_visible()
    page.get_by_label("Why").fill("both had a point")
    commit.click()
    expect(page.get_by_role("option").filter(has_text="merges draft:2")).to_be_visible()
    made = site.client.get(NAME)
    assert made.value == {
        "title": "B and C",
        "body": {"intro": "b", "end": "z"},
        "stars": 5,
        "text": TEXT.replace("lazy", "sleepy"),
    }
    assert made.description == "both had a point"
    assert site.client.merges() == []


def test_some_decisions_are_saved_and_the_rest_stays_open(site: Site, pending: str, page: Page) -> None:
    page.goto(f"{site.url}/#/merges/{pending}")
    conflict(page, "title").get_by_role("radio", name="Theirs").check()
    conflict(page, "body.end").get_by_role("radio", name="Nothing there").check()
    page.get_by_role("button", name="Save decisions").click()
    expect(page.get_by_text("0 of 2 conflicts decided").first).to_be_visible()
    assert [one.path for one in site.client.merge_state(pending).conflicts] == ["body.intro", "text"]
    page.get_by_role("button", name="All ours").click()
    expect(page.get_by_text("2 of 2 conflicts decided").first).to_be_visible()
    page.get_by_role("button", name="Commit the merge").click()
    expect(page.get_by_role("option").filter(has_text="merges draft:2")).to_be_visible()
    assert site.client.get(NAME).value["title"] == "B"
    assert site.client.get(NAME).value["body"] == {"intro": "c"}


@pytest.mark.parametrize(("side", "title"), [("All ours", "C"), ("All theirs", "B"), ("All as before", "A")])
def test_all_are_decided_at_once(site: Site, pending: str, page: Page, side: str, title: str) -> None:
    page.goto(f"{site.url}/#/merges/{pending}")
    page.get_by_role("button", name=side).click()
    expect(page.get_by_role("group", name=re.compile("decided$"))).to_have_count(4)
    page.get_by_role("button", name="Commit the merge").click()
    expect(page.get_by_role("option").filter(has_text="merges draft:2")).to_be_visible()
    assert site.client.get(NAME).value["title"] == title


def test_what_someone_writes_meanwhile_is_not_lost(site: Site, pending: str, page: Page) -> None:
    page.goto(f"{site.url}/#/merges/{pending}")
    page.get_by_role("button", name="All theirs").click()
    site.client.update(NAME, {"stars": 7}, by="dan")
    expect(page.get_by_text("main went on to version 3, by dan.")).to_be_visible()
    page.get_by_role("button", name="Commit the merge").click()
    expect(page.get_by_text("A branch went on meanwhile: 1 conflict left.").first).to_be_visible()
    stars = conflict(page, "stars")
    expect(stars.locator(".ours")).to_contain_text("7")
    assert site.client.get(NAME).version == 3, "nothing was committed"
    stars.get_by_role("radio", name="Ours").check()
    page.get_by_role("button", name="Commit the merge").click()
    expect(page.get_by_role("option").filter(has_text="merges draft:2")).to_be_visible()
    assert site.client.get(NAME).value["stars"] == 7
    assert site.client.get(NAME).value["title"] == "B"


def test_bringing_it_up_to_date_keeps_what_was_decided(site: Site, pending: str, page: Page) -> None:
    page.goto(f"{site.url}/#/merges/{pending}")
    conflict(page, "title").get_by_role("radio", name="Theirs").check()
    conflict(page, "body.intro").get_by_role("radio", name="Theirs").check()
    site.client.update(NAME, {"title": "D"}, by="dan")
    page.get_by_role("button", name="Bring up to date").click()
    expect(conflict(page, "title").locator(".ours")).to_contain_text('"D"')
    expect(page.get_by_text("1 of 4 conflicts decided").first).to_be_visible()
    expect(conflict(page, "body.intro").get_by_role("radio", name="Theirs")).to_be_checked()
    expect(conflict(page, "title").get_by_role("radio", name="Theirs")).not_to_be_checked()


def test_a_merge_is_abandoned(site: Site, pending: str, page: Page) -> None:
    page.goto(f"{site.url}/#/merges/{pending}")
    page.get_by_role("button", name="Abandon…").click()
    page.get_by_role("dialog").get_by_role("button", name="Abandon it").click()
    expect(page.get_by_text("No merge is pending.")).to_be_visible()
    assert site.client.merges() == []
    assert site.client.get(NAME).version == 2
    page.goto(f"{site.url}/#/merges/{pending}")
    expect(page.get_by_text("This merge is over, or never was.")).to_be_visible()


def test_a_merge_with_conflicts_leads_to_its_page(site: Site, pending: str, page: Page) -> None:
    site.client.abandon(pending)
    page.goto(f"{site.url}/#/documents/{NAME}/branches")
    page.get_by_role("button", name="Merge draft…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog.get_by_role("heading", name="4 conflicts to resolve")).to_be_visible()
    dialog.get_by_role("button", name="Merge", exact=True).click()
    expect(page.get_by_role("heading", name="Merge of draft into main")).to_be_visible()
    expect(conflict(page, "title")).to_be_visible()


def test_many_documents_are_merged_as_one(site: Site, page: Page) -> None:
    for name in ("configs/gateway", "configs/mailer"):
        site.client.create(name, {"replicas": 2})
        site.client.branch(name, "experiment")
        site.client.update(name, {"replicas": 5}, branch="experiment")
    page.goto(f"{site.url}/#/merges")
    page.get_by_role("button", name="Merge many documents…").click()
    dialog = page.get_by_role("dialog", name="Merge documents")
    dialog.get_by_label("Documents").fill("configs/**")
    dialog.get_by_label("Merge what happened on").fill("experiment")
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog.get_by_text("configs/gateway")).to_be_visible()
    expect(dialog.get_by_text("configs/mailer")).to_be_visible()
    dialog.get_by_role("button", name="Merge", exact=True).click()
    expect(page.get_by_text("Merged: 2 documents change").first).to_be_visible()
    assert site.client.get("configs/mailer").value == {"replicas": 5}


def test_all_of_it_is_done_by_keys(site: Site, pending: str, page: Page) -> None:
    page.goto(f"{site.url}/#/merges/{pending}")
    expect(conflict(page, "title")).to_be_visible()
    for path in ("body.end", "body.intro", "text", "title"):
        conflict(page, path).get_by_role("radio", name="As before").focus()
        page.keyboard.press("ArrowDown")
        expect(conflict(page, path).get_by_role("radio", name="Ours")).to_be_checked()
    page.get_by_role("button", name="Commit the merge").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("option").filter(has_text="merges draft:2")).to_be_visible()
    assert site.client.get(NAME).value["title"] == "C"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_in_the_way_of_anybody(
    site: Site,
    pending: str,
    new_page: Callable[..., Page],
    accessible: Callable[[Page], None],
    scheme: str,
) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(f"{site.url}/#/merges")
    expect(page.get_by_role("row").filter(has_text="draft")).to_be_visible()
    accessible(page)
    page.goto(f"{site.url}/#/merges/{pending}")
    conflict(page, "title").get_by_role("radio", name="Another value").check()
    conflict(page, "text").get_by_role("radio", name="Theirs").check()
    accessible(page)


def test_a_phone_is_wide_enough(site: Site, pending: str, new_page: Callable[..., Page]) -> None:
    page = new_page(viewport={"width": 360, "height": 740})
    for address, text in (("merges", "better words"), (f"merges/{pending}", "body.intro")):
        page.goto(f"{site.url}/#/{address}")
        expect(page.get_by_text(text).first).to_be_attached()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
