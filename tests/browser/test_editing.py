"""Editing: a delta that is gathered, shown and sent; and what somebody else changes meanwhile, which is not overwritten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

import palimpsest as pal
from tests.browser.conftest import Site

NOTE = {
    "title": "A",
    "meta": {"stars": 3, "seen": True, "id": 18446744073709551615},
    "tags": ["import", "draft"],
    "odd.key": {"0": None},
}


@pytest.fixture
def note(site: Site, page: Page) -> Page:
    """The page of notes/1, being edited."""
    site.client.create("notes/1", NOTE, by="ana")
    page.goto(f"{site.url}/#/documents/notes/1/value")
    expect(row(page, "title")).to_be_visible()
    page.get_by_role("button", name="Edit", exact=True).click()
    return page


def row(page: Page, key: str) -> Locator:
    """The row of the tree whose key is this one."""
    return page.get_by_role("treeitem").filter(has=page.locator(".tree-key", has_text=key))


def edit_in_place(page: Page, key: str, text: str) -> None:
    row(page, key).dblclick()
    page.get_by_role("treeitem").get_by_role("textbox").fill(text)
    page.keyboard.press("Enter")


def send(page: Page, why: str = "") -> Locator:
    page.get_by_role("button", name="Review and send…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why").fill(why)
    dialog.get_by_role("button", name="Send").click()
    return dialog


def test_a_delta_is_shown_before_it_is_sent(site: Site, note: Page, screenshot: Callable[[Page, str], None]) -> None:
    edit_in_place(note, "stars", "9")
    row(note, "tags").click()
    note.get_by_label("New element").fill("fresh")
    note.get_by_role("button", name="Append").click()
    row(note, "odd.key").click()
    note.get_by_role("button", name="Remove", exact=True).click()
    changes = note.get_by_role("list", name="Changes").get_by_role("listitem")
    expect(changes).to_have_count(3)
    expect(changes.nth(0)).to_contain_text("set meta.stars to 9")
    expect(changes.nth(0)).to_contain_text("before3after9")
    expect(changes.nth(1)).to_contain_text('append "fresh" to tags')
    expect(changes.nth(2)).to_contain_text('delete ["odd.key"]')
    expect(row(note, "stars")).to_contain_text("edited")
    screenshot(note, "editing")
    assert site.client.get("notes/1").version == 1
    note.get_by_role("button", name="Review and send…").click()
    dialog = note.get_by_role("dialog")
    expect(dialog.get_by_role("listitem")).to_have_count(3)
    screenshot(note, "review")
    dialog.get_by_label("Why").fill("a good one")
    dialog.get_by_label("Tags").fill("review, ui-change")
    dialog.get_by_role("button", name="Send").click()
    expect(note.locator("#toasts")).to_contain_text("Sent: version 2.")
    expect(note.get_by_text("version 2", exact=True)).to_be_visible()
    found = site.client.get("notes/1")
    assert found.value == {
        "title": "A",
        "meta": {"stars": 9, "seen": True, "id": 18446744073709551615},
        "tags": ["import", "draft", "fresh"],
    }
    assert (found.description, found.tags) == ("a good one", {"review", "ui-change"})
    newest = next(iter(site.client.history("notes/1")))
    assert newest.delta == pal.Delta().set("meta.stars", 9).append("tags", "fresh").delete('["odd.key"]')


def test_values_change_their_kind_only_where_that_is_said(site: Site, note: Page) -> None:
    edit_in_place(note, "title", "12")
    edit_in_place(note, "seen", "null")
    edit_in_place(note, "id", "18446744073709551614")
    send(note)
    expect(note.locator("#toasts")).to_contain_text("Sent: version 2.")
    value: Any = site.client.get("notes/1").value
    assert value["title"] == "12"
    assert value["meta"] == {"stars": 3, "seen": None, "id": 18446744073709551614}


def test_what_is_no_json_is_not_taken(note: Page) -> None:
    row(note, "stars").dblclick()
    box = note.get_by_role("treeitem").get_by_role("textbox")
    box.fill("many")
    box.press("Enter")
    expect(box).to_have_attribute("aria-invalid", "true")
    box.press("Escape")
    expect(row(note, "stars")).to_contain_text("3")
    expect(note.get_by_role("button", name="Review and send…")).to_be_disabled()


def test_keys_are_added_and_renamed_and_elements_moved(site: Site, note: Page) -> None:
    row(note, "meta").click()
    note.get_by_label("New key").fill("by.whom")
    note.get_by_role("textbox", name="Value").fill('{"name": "ana"}')
    note.get_by_label("Taken as").select_option("JSON")
    note.get_by_role("button", name="Add").click()
    row(note, "title").click()
    note.get_by_role("button", name="Rename…").click()
    dialog = note.get_by_role("dialog")
    dialog.get_by_label("Key").fill("meta")
    dialog.get_by_role("button", name="Rename").click()
    expect(dialog.get_by_text("There is a key “meta” already.")).to_be_visible()
    dialog.get_by_label("Key").fill("heading")
    dialog.get_by_role("button", name="Rename").click()
    expect(row(note, "heading")).to_be_visible()
    note.get_by_role("treeitem").filter(has_text='"draft"').click()
    note.get_by_role("button", name="Move up").click()
    note.get_by_role("button", name="Insert before…").click()
    note.get_by_role("dialog").get_by_label("New element").fill("first")
    note.get_by_role("dialog").get_by_role("button", name="Insert").click()
    send(note)
    expect(note.locator("#toasts")).to_contain_text("Sent: version 2.")
    value: Any = site.client.get("notes/1").value
    assert value["heading"] == "A"
    assert "title" not in value
    assert value["meta"]["by.whom"] == {"name": "ana"}
    assert value["tags"] == ["first", "draft", "import"]


def test_a_part_is_edited_as_json_and_only_what_differs_is_sent(site: Site, note: Page) -> None:
    row(note, "meta").click()
    note.get_by_role("button", name="Edit as JSON…").click()
    dialog = note.get_by_role("dialog")
    expect(dialog.get_by_label("JSON")).to_have_value(
        '{\n  "id": 18446744073709551615,\n  "seen": true,\n  "stars": 3\n}'
    )
    dialog.get_by_label("JSON").fill('{"id": 18446744073709551615, "stars": 4, "more": []}')
    dialog.get_by_role("button", name="Take over").click()
    send(note)
    expect(note.locator("#toasts")).to_contain_text("Sent: version 2.")
    newest = next(iter(site.client.history("notes/1")))
    assert newest.delta == pal.Delta().delete("meta.seen").set("meta.stars", 4).set("meta.more", [])


def test_changes_are_taken_back_and_thrown_away(site: Site, note: Page) -> None:
    edit_in_place(note, "stars", "9")
    edit_in_place(note, "title", "B")
    note.get_by_role("button", name="Take back: set meta.stars to 9").click()
    changes = note.get_by_role("list", name="Changes").get_by_role("listitem")
    expect(changes).to_have_count(1)
    expect(row(note, "stars")).to_contain_text("3")
    note.get_by_role("button", name="Throw away").click()
    note.get_by_role("dialog").get_by_role("button", name="Throw away").click()
    expect(row(note, "title")).to_contain_text('"A"')
    expect(note.get_by_role("button", name="Edit", exact=True)).to_be_focused()
    assert site.client.get("notes/1").version == 1


def test_what_was_not_sent_is_there_again(note: Page) -> None:
    edit_in_place(note, "stars", "9")
    note.get_by_role("link", name="Documents", exact=True).first.click()
    note.get_by_role("option", name="notes/1").click()
    expect(note.get_by_role("list", name="Changes").get_by_role("listitem")).to_have_count(1)
    expect(row(note, "stars")).to_contain_text("9")


def test_what_others_change_elsewhere_is_gone_on_from(site: Site, note: Page) -> None:
    edit_in_place(note, "stars", "9")
    site.client.update("notes/1", {"title": "B"}, by="bo")
    banner = note.get_by_role("alert").filter(has_text="bo has changed this document meanwhile")
    expect(banner).to_contain_text("title")
    banner.get_by_role("button", name="Take it in").click()
    expect(row(note, "title")).to_contain_text('"B"')
    expect(row(note, "stars")).to_contain_text("9")
    send(note)
    expect(note.locator("#toasts")).to_contain_text("Sent: version 3.")
    value: Any = site.client.get("notes/1").value
    assert (value["title"], value["meta"]["stars"]) == ("B", 9)


@pytest.mark.parametrize(("side", "stars"), [("Take mine", 9), ("Take theirs", 100)])
def test_what_both_changed_is_put_to_choice(
    site: Site, note: Page, side: str, stars: int, screenshot: Callable[[Page, str], None]
) -> None:
    edit_in_place(note, "stars", "9")
    edit_in_place(note, "title", "C")
    site.client.update("notes/1", {"meta.stars": 100}, by="bo")
    note.get_by_role("button", name="Look at both and choose…").click()
    dialog = note.get_by_role("dialog")
    expect(dialog.get_by_role("group")).to_contain_text("It was3Take mine9Take theirs100")
    expect(dialog.get_by_role("button", name="Go on with these")).to_be_disabled()
    dialog.get_by_label(side).check()
    screenshot(note, "choice")
    dialog.get_by_role("button", name="Go on with these").click()
    send(note)
    expect(note.locator("#toasts")).to_contain_text("Sent: version 3.")
    value: Any = site.client.get("notes/1").value
    assert (value["title"], value["meta"]["stars"]) == ("C", stars)


def without_feed(page: Page) -> None:
    """The page is not told what others do, as when its connection is lost: it finds out when it sends."""
    page.route("**/events?*", lambda route: route.abort())


def test_a_refusal_overwrites_nothing(site: Site, page: Page) -> None:
    without_feed(page)
    site.client.create("notes/1", NOTE)
    page.goto(f"{site.url}/#/documents/notes/1/value")
    page.get_by_role("button", name="Edit", exact=True).click()
    edit_in_place(page, "stars", "9")
    site.client.update("notes/1", {"meta.stars": 100, "title": "B"}, by="bo")
    send(page, "mine")
    expect(page.get_by_role("dialog").get_by_role("group")).to_contain_text("Take theirs100")
    assert site.client.get("notes/1").version == 2
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("You both changed meta.stars.")
    send_again(page)
    value: Any = site.client.get("notes/1").value
    assert (value["title"], value["meta"]["stars"]) == ("B", 9)


def send_again(page: Page) -> None:
    page.get_by_role("button", name="Review and send…").click()
    page.get_by_role("dialog").get_by_label("Take mine").check()
    page.get_by_role("dialog").get_by_role("button", name="Go on with these").click()
    page.get_by_role("dialog").get_by_role("button", name="Send").click()
    expect(page.locator("#toasts")).to_contain_text("Sent: version 3.")


def test_a_refusal_for_what_changed_elsewhere_is_gone_on_from(site: Site, page: Page) -> None:
    without_feed(page)
    site.client.create("notes/1", NOTE)
    page.goto(f"{site.url}/#/documents/notes/1/value")
    page.get_by_role("button", name="Edit", exact=True).click()
    edit_in_place(page, "stars", "9")
    site.client.update("notes/1", {"title": "B"}, by="bo")
    send(page)
    expect(page.locator("#toasts")).to_contain_text("Sent: version 3. It goes on from what bo changed meanwhile")
    expect(row(page, "title")).to_contain_text('"B"')
    value: Any = site.client.get("notes/1").value
    assert (value["title"], value["meta"]["stars"]) == ("B", 9)


def test_what_is_seen_through_a_perspective_is_edited_through_it(site: Site, page: Page) -> None:
    site.client.create("notes/1", NOTE)
    site.client.perspectives.put(
        pal.Perspective(name="public", documents="notes/*", include=["title"], writable=["title"])
    )
    page.goto(f"{site.url}/#/documents/notes/1/value?perspective=public")
    expect(page.get_by_role("treeitem")).to_have_count(2)
    page.get_by_role("button", name="Edit", exact=True).click()
    edit_in_place(page, "title", "B")
    send(page)
    expect(page.locator("#toasts")).to_contain_text("Sent: version 2.")
    expect(row(page, "title")).to_contain_text('"B"')
    assert site.client.get("notes/1").value == {**NOTE, "title": "B"}


def test_a_document_that_is_deleted_meanwhile_is_not_made_again(site: Site, note: Page) -> None:
    edit_in_place(note, "stars", "9")
    site.client.delete("notes/1", by="bo")
    expect(note.get_by_role("alert").filter(has_text="bo has deleted this document meanwhile")).to_be_visible()
    dialog = send(note)
    expect(dialog.get_by_role("alert")).to_contain_text("notes/1")
    assert next(iter(site.client.history("notes/1"))).kind.name == "DELETE"


def test_a_live_value_shows_what_changed(site: Site, page: Page, screenshot: Callable[[Page, str], None]) -> None:
    site.client.create("notes/1", NOTE, by="ana")
    page.goto(f"{site.url}/#/documents/notes/1/value")
    expect(row(page, "title")).to_be_visible()
    site.client.update("notes/1", {"meta.stars": pal.Increment(2)}, by="bo", description="two more")
    expect(row(page, "stars")).to_contain_text("5changed")
    expect(row(page, "title")).not_to_contain_text("changed")
    expect(page.get_by_text("version 2", exact=True)).to_be_visible()
    expect(page.get_by_text("two more")).to_be_visible()
    screenshot(page, "value")
    site.client.update("notes/1", pal.Delta().remove("tags", 0).move("title", "heading").splice("heading", (1, 0, "B")))
    expect(row(page, "heading")).to_contain_text('"AB"')
    expect(page.get_by_role("treeitem").filter(has_text='"import"')).to_have_count(0)
    site.client.delete("notes/1", by="cleo")
    expect(page.get_by_text("cleo has deleted this document.")).to_be_visible()


def test_a_tree_is_walked_and_edited_with_the_keys(note: Page) -> None:
    tree = note.get_by_role("tree")
    expect(tree).to_be_focused()
    note.keyboard.press("Home")
    note.keyboard.press("ArrowDown")
    expect(tree.locator(".active")).to_contain_text("meta")
    note.keyboard.press("ArrowLeft")
    expect(row(note, "stars")).to_have_count(0)
    note.keyboard.press("ArrowRight")
    note.keyboard.press("ArrowRight")
    expect(tree.locator(".active")).to_contain_text("id")
    note.keyboard.press("Enter")
    note.keyboard.press("ControlOrMeta+a")
    note.keyboard.type("7")
    note.keyboard.press("Enter")
    expect(row(note, "id")).to_contain_text("7")
    expect(tree).to_be_focused()
    note.keyboard.press("Delete")
    expect(row(note, "id")).to_have_count(0)


def test_long_lists_are_opened_in_parts(site: Site, page: Page) -> None:
    site.client.create("long", {"numbers": list(range(5_000))})
    page.goto(f"{site.url}/#/documents/long/value")
    row(page, "numbers").locator(".twisty").click()
    expect(page.get_by_role("treeitem").filter(has_text="entries 4,000 to 4,999")).to_be_visible()
    page.get_by_role("treeitem").filter(has_text="entries 2,000 to 2,999").locator(".twisty").click()
    expect(page.get_by_role("treeitem").filter(has_text="2003")).to_be_visible()
    assert page.get_by_role("treeitem").count() < 100
