"""Documents: found by pattern, their newest changes live, made and deleted, and seen through a perspective or as someone else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from playwright.sync_api import Page, expect

import palimpsest as pal
from tests.browser.conftest import Site

LARGE_STORE_ITEMS = 100_000
TRANSACTION_ITEMS = 1_000


def test_everything_is_listed_and_counted(site: Site, page: Page, screenshot: Callable[[Page, str], None]) -> None:
    seed(site)
    page.goto(f"{site.url}/")
    expect(page.get_by_role("heading", name="Documents", exact=True)).to_be_visible()
    expect(page.get_by_role("option").first).to_have_text("configs/site-00/mail")
    expect(page.get_by_text("61 documents")).to_be_visible()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    site.client.update("notes/1", {"meta.stars": pal.Increment()}, by="bo", description="one star more")
    site.client.update("configs/site-07/mail", {"retries": 9}, by="cleo", description="the line is bad")
    changes = page.get_by_role("list", name="Newest changes").get_by_role("listitem")
    expect(changes).to_have_count(63)
    expect(changes.nth(0)).to_contain_text("configs/site-07/mail")
    expect(changes.nth(1)).to_contain_text("one star more")
    screenshot(page, "documents")


def test_a_name_and_a_pattern_find_documents(site: Site, page: Page) -> None:
    seed(site)
    site.client.create("configs/site-07", {"whole": True})
    page.goto(f"{site.url}/")
    names = page.get_by_role("listbox", name="Documents").get_by_role("option")
    page.get_by_label("Find documents").fill("configs/site-07")
    expect(names).to_have_text(["configs/site-07", "configs/site-07/mail"])
    page.get_by_label("Find documents").fill("notes/*")
    expect(names).to_have_text(["notes/1"])
    expect(page.get_by_text("1 document", exact=True)).to_be_visible()
    page.get_by_label("Find documents").fill("nothing/**")
    expect(page.get_by_text("No document matches “nothing/**”.")).to_be_visible()
    assert page.url.endswith("?find=nothing%2F**")


def test_deleted_documents_are_found_where_that_is_asked(site: Site, page: Page) -> None:
    site.client.create("notes/1", {})
    site.client.create("notes/2", {})
    site.client.delete("notes/2")
    page.goto(f"{site.url}/")
    names = page.get_by_role("listbox", name="Documents").get_by_role("option")
    expect(names).to_have_text(["notes/1"])
    page.get_by_label("Deleted ones, too").check()
    expect(names).to_have_text(["notes/1", "notes/2"])


def test_changes_appear_as_they_happen_and_only_those_that_match(site: Site, page: Page) -> None:
    seed(site)
    page.goto(f"{site.url}/#/documents?find=notes/**")
    changes = page.get_by_role("list", name="Newest changes").get_by_role("listitem")
    expect(changes).to_have_count(1)
    expect(changes.first).to_contain_text("created")
    site.client.update("configs/site-00/mail", {"retries": 1}, by="ana")
    site.client.update("notes/1", {"title": "B"}, by="bo", description="a better title")
    expect(changes).to_have_count(2)
    expect(changes.first).to_contain_text("notes/1")
    expect(changes.first).to_contain_text("version 2")
    expect(changes.first).to_contain_text("bo: a better title")
    expect(changes.first).to_contain_text('set title to "B"')
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused", exact=True)).to_be_visible()


def test_the_newest_changes_begin_with_what_was_changed_lately(site: Site, page: Page) -> None:
    """Where more was changed than is shown, they begin now: what came first of it would be no news."""
    site.client.create("few/1", {"state": "made"}, by="ana")
    site.client.transaction({f"many/{number:03}": pal.Create({"n": number}) for number in range(101)})
    page.goto(f"{site.url}/#/documents?find=few/**")
    changes = page.get_by_role("list", name="Newest changes").get_by_role("listitem")
    expect(changes).to_have_count(1)
    page.get_by_label("Find documents").fill("many/**")
    expect(page.get_by_text("101 documents", exact=True)).to_be_visible()
    expect(page.get_by_text("What changes from now on appears here.")).to_be_visible()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    expect(changes).to_have_count(0)
    site.client.update("many/007", {"n": 8}, by="bo")
    expect(changes).to_have_count(1)
    expect(changes.first).to_contain_text("many/007")


def test_the_list_is_walked_with_the_keys(site: Site, page: Page) -> None:
    seed(site)
    page.goto(f"{site.url}/")
    names = page.get_by_role("listbox", name="Documents")
    expect(names.get_by_role("option").first).to_be_visible()
    names.focus()
    page.keyboard.press("End")
    expect(names.locator(".active")).to_have_text("notes/1")
    page.keyboard.press("ArrowUp")
    expect(names.locator(".active")).to_have_text("configs/site-59/mail")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="configs/site-01/mail", level=1)).to_be_focused()


def test_a_hundred_thousand_documents(site: Site, page: Page) -> None:
    """A handful of rows is in the page, however many there are, and the last one is reached."""
    numbers = iter(range(LARGE_STORE_ITEMS))
    while part := list(islice(numbers, TRANSACTION_ITEMS)):
        site.client.transaction({f"store/{number:06}": pal.Create(number) for number in part})
    page.goto(f"{site.url}/")
    names = page.get_by_role("listbox", name="Documents")
    expect(names.get_by_role("option").first).to_have_text("store/000000")
    names.focus()
    page.keyboard.press("End")
    expect(page.get_by_text("100,000 documents")).to_be_visible(timeout=60_000)
    expect(names.locator(".active")).to_have_text("store/099999")
    names.evaluate("list => { list.scrollTop = list.scrollHeight / 2; }")
    expect(names.get_by_text("store/050000")).to_be_visible()
    assert names.get_by_role("option").count() < 100


def test_a_document_is_made(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/")
    page.get_by_role("button", name="Make the first one").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("notes/new")
    dialog.get_by_label("Value, as JSON").fill('{"title": ')
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_text("The value is no JSON.")).to_be_visible()
    dialog.get_by_label("Value, as JSON").fill('{"title": "New", "id": 18446744073709551615}')
    dialog.get_by_label("Why").fill("a start")
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="notes/new", level=1)).to_be_visible()
    expect(page.get_by_role("treeitem").filter(has_text="18446744073709551615")).to_be_visible()
    made = site.client.get("notes/new")
    assert made.value == {"title": "New", "id": 18446744073709551615}
    assert made.description == "a start"


def test_what_is_there_is_not_made_again(site: Site, page: Page) -> None:
    site.client.create("notes/1", {"title": "A"})
    page.goto(f"{site.url}/")
    page.get_by_role("button", name="New document").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("notes/1")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert").filter(has_text="notes/1")).to_be_visible()
    assert site.client.get("notes/1").value == {"title": "A"}


def test_a_document_is_deleted_once_that_is_confirmed(site: Site, page: Page) -> None:
    site.client.create("notes/1", {"title": "A"})
    page.goto(f"{site.url}/#/documents/notes/1/value")
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert site.client.get("notes/1").version == 1
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_label("Why").fill("not needed")
    page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("heading", name="Documents", exact=True)).to_be_visible()
    last = next(iter(site.client.history("notes/1")))
    assert (last.kind.name, last.description) == ("DELETE", "not needed")


def test_a_document_is_seen_through_a_perspective_and_as_a_role(site: Site, page: Page) -> None:
    site.client.create("notes/1", {"title": "A", "secret": "hidden"})
    site.client.perspectives.put(pal.Perspective(name="public", documents="notes/*", include=["title"]))
    grant = pal.Grant(documents="notes/*", actions=("read",), perspective="public")
    site.client.roles.put("guest", pal.Role(grants=(grant,)))
    site.client.roles.put("stranger", pal.Role(grants=(pal.Grant(documents="other/*", actions=("read",)),)))
    page.goto(f"{site.url}/#/documents/notes/1/value")
    secret = page.get_by_role("treeitem").filter(has_text="secret")
    expect(secret).to_be_visible()
    page.get_by_label("See it as").select_option("public")
    expect(secret).to_have_count(0)
    expect(page.get_by_role("treeitem").filter(has_text="title")).to_be_visible()
    page.get_by_label("See it as").select_option("the whole document")
    expect(secret).to_be_visible()
    page.get_by_label("See it as").select_option("guest")
    expect(secret).to_have_count(0)
    expect(page.get_by_role("treeitem").filter(has_text="title")).to_be_visible()
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_disabled()
    site.client.update("notes/1", {"title": "B", "secret": "other"})
    expect(page.get_by_role("treeitem").filter(has_text="title")).to_contain_text('"B"')
    page.get_by_label("See it as").select_option("stranger")
    expect(page.get_by_text("does not see this document")).to_be_visible()


def test_another_branch_and_another_time_are_looked_at(site: Site, page: Page) -> None:
    site.client.create("notes/1", {"title": "A"})
    site.client.update("notes/1", {"title": "B"}, tags={"released"})
    site.client.branch("notes/1", "draft")
    site.client.update("notes/1", {"title": "C"}, branch="draft")
    site.client.update("notes/1", {"title": "D"})
    page.goto(f"{site.url}/#/documents/notes/1/value")
    title = page.get_by_role("treeitem").filter(has_text="title")
    expect(title).to_contain_text("D")
    page.get_by_label("Branch").select_option("draft")
    expect(title).to_contain_text("C")
    page.get_by_label("Branch").select_option("main")
    expect(title).to_contain_text("D")
    page.get_by_label("As of").fill("1")
    page.get_by_label("As of").press("Enter")
    expect(title).to_contain_text("A")
    expect(page.get_by_text("as it was", exact=True)).to_be_visible()
    page.get_by_label("As of").fill("released")
    page.get_by_label("As of").press("Enter")
    expect(title).to_contain_text("B")
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_disabled()


def test_a_document_that_is_not_there_says_so(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/#/documents/notes/none/value")
    expect(page.get_by_text("There is no notes/none to be seen here.")).to_be_visible()
    expect(page.get_by_role("link", name="Look at its past")).to_be_visible()


def test_names_of_any_kind_are_reached(site: Site, page: Page) -> None:
    name = 'odd/a b?c#d%e&"é/value'
    site.client.create(name, {"here": True})
    page.goto(f"{site.url}/")
    page.get_by_role("option", name=name).click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    expect(page.get_by_role("treeitem").filter(has_text="here")).to_be_visible()


def seed(site: Site) -> None:
    for number in range(60):
        site.client.create(f"configs/site-{number:02}/mail", {"retries": number}, by="ana")
    site.client.create("notes/1", {"title": "A", "meta": {"stars": 3}}, by="bo")
