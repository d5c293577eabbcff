"""Time: a scrubber over all versions, what differs, who set what, and the ways back."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

import palimpsest as pal
from tests.browser.conftest import Site

NAME = "notes/plan"
TEXT = "The quick brown fox jumps over the lazy dog, and goes on its way. " * 4


@pytest.fixture
def story(site: Site) -> Site:
    """Version 1 makes it, 2 to 21 count, 22 sets a date, 23 merges a branch, 24 words it anew."""
    client = site.client
    client.create(
        NAME,
        {"title": "Plan", "stars": 0, "text": TEXT, "tags": ["a"], "meta": {"due": None}},
        by="ana",
        description="a first draft",
        tags={"import"},
    )
    for number in range(20):
        client.update(NAME, {"stars": pal.Increment()}, by=["ana", "bo"][number % 2])
    client.update(
        NAME, {"tags": pal.Append("b"), "meta.due": "2026-12-01"}, by="cy", description="a date", tags={"reviewed"}
    )
    client.branch(NAME, "colours", by="bo")
    client.update(NAME, {"colour": "red"}, branch="colours", by="bo", description="nicer")
    client.merge(NAME, source="colours", by="ana", description="colours are in")
    client.update(NAME, {"title": "Plan B", "text": TEXT.replace("quick", "slow")}, by="ana", description="words")
    return site


def open_tab(page: Page, site: Site, tab: str, query: str = "") -> None:
    page.goto(f"{site.url}/#/documents/{NAME}/{tab}{query}")


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Version")


def row(page: Page, text: str) -> Locator:
    return page.get_by_role("treeitem").filter(has_text=text)


def test_the_scrubber_shows_every_version_with_what_changed_who_and_why(
    story: Site, page: Page, screenshot: Callable[[Page, str], None]
) -> None:
    open_tab(page, story, "time")
    expect(slider(page)).to_have_value("24")
    expect(row(page, "Plan B")).to_contain_text("changed")
    slider(page).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(slider(page)).to_have_attribute("aria-valuetext", re.compile("version 22 of 24.*by cy.*a date"))
    expect(row(page, "2026-12-01")).to_contain_text("changed")
    expect(row(page, "stars")).not_to_contain_text("changed")
    card = page.get_by_role("region", name="Version 22")
    expect(card).to_contain_text("cy")
    expect(card).to_contain_text("a date")
    expect(card.get_by_role("listitem")).to_have_text([re.compile("append"), re.compile("set meta.due")])
    screenshot(page, "time")
    page.keyboard.press("Home")
    expect(page.get_by_role("region", name="Version 1", exact=True)).to_contain_text("a first draft")
    expect(row(page, "stars")).to_contain_text("0")


def test_versions_are_played(story: Site, page: Page) -> None:
    open_tab(page, story, "time", "?v=20")
    expect(row(page, "stars")).to_contain_text("19")
    page.get_by_label("Speed of playing").select_option("25 a second")
    page.get_by_role("button", name="Play").click()
    expect(slider(page)).to_have_value("24")
    expect(row(page, "Plan B")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_playing_is_paused_by_a_step(story: Site, page: Page) -> None:
    open_tab(page, story, "time", "?v=1")
    page.get_by_label("Speed of playing").select_option("1 a second")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="Newest version").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(slider(page)).to_have_value("24")


def test_marks_stand_for_tags_merges_and_branches_and_are_jumped_to(story: Site, page: Page) -> None:
    story.client.tag(NAME, 10, {"released"})
    open_tab(page, story, "time")
    for kind, title in (
        ("merge", "version 23 merges colours:23"),
        ("branch", "colours starts from version 22"),
        ("tag", "version 10: released"),
    ):
        expect(page.locator(f".scrubber-mark.mark-{kind}[title*='{title}']")).to_be_visible()
    page.get_by_role("button", name="Mark before").click()
    expect(slider(page)).to_have_value("23")
    page.get_by_role("button", name="Oldest version").click()
    page.get_by_role("button", name="Mark after").click()
    expect(slider(page)).to_have_value("10")


def test_a_new_version_comes_live(story: Site, page: Page) -> None:
    open_tab(page, story, "time")
    expect(slider(page)).to_have_value("24")
    expect(page.get_by_role("option", name=re.compile("^24"))).to_be_visible()
    story.client.update(NAME, {"title": "Plan C"}, by="bo", description="once more")
    expect(slider(page)).to_have_value("25")
    expect(row(page, "Plan C")).to_contain_text("changed")
    expect(page.get_by_role("option", name=re.compile("25.*once more"))).to_be_visible()


def test_who_looks_at_the_past_stays_there(story: Site, page: Page) -> None:
    open_tab(page, story, "time", "?v=3")
    expect(row(page, "stars")).to_contain_text("2")
    story.client.update(NAME, {"title": "Plan C"}, by="bo")
    expect(page.get_by_text("version 3 of 25")).to_be_visible()
    expect(row(page, "stars")).to_contain_text("2")


def test_versions_are_filtered_by_author_tag_and_path(story: Site, page: Page) -> None:
    open_tab(page, story, "time")
    versions = page.get_by_role("listbox", name="Versions, newest first").get_by_role("option")
    expect(versions.first).to_contain_text("words")
    page.get_by_role("searchbox", name="Author").fill("cy")
    page.keyboard.press("Enter")
    expect(versions).to_have_count(1)
    expect(versions).to_contain_text("a date")
    page.get_by_role("searchbox", name="Author").fill("")
    page.get_by_role("searchbox", name="Tag").fill("import")
    page.get_by_role("button", name="Filter").click()
    expect(versions).to_contain_text(["a first draft"])
    page.get_by_role("searchbox", name="Tag").fill("")
    page.get_by_role("searchbox", name="Path").fill("title")
    page.get_by_role("button", name="Filter").click()
    expect(versions).to_have_count(2)
    versions.nth(1).click()
    expect(slider(page)).to_have_value("1")
    page.get_by_role("searchbox", name="Author").fill("nobody")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No version meets these conditions.")).to_be_visible()
    page.get_by_role("button", name="All", exact=True).click()
    expect(versions.first).to_have_attribute("aria-setsize", "24")


def test_a_version_is_tagged_and_untagged(story: Site, page: Page) -> None:
    open_tab(page, story, "time", "?v=24")
    card = page.get_by_role("region", name="Version 24")
    card.get_by_label("Tag for version 24").fill("released")
    card.get_by_role("button", name="Add tag").click()
    expect(card.get_by_role("button", name="Take the tag released away")).to_be_visible()
    assert story.client.get(NAME, tag="released").version == 24
    expect(page.get_by_role("option", name=re.compile("^24.*released"))).to_be_visible()
    card.get_by_role("button", name="Take the tag released away").click()
    expect(page.get_by_text("The tag released is gone from version 24.").first).to_be_visible()
    assert story.client.get(NAME, version=24).tags == frozenset()


def test_going_back_is_shown_before_it_is_done(story: Site, page: Page) -> None:
    open_tab(page, story, "time", "?v=22")
    page.get_by_role("button", name="Go back to it…").click()
    dialog = page.get_by_role("dialog", name="Go back to version 22")
    expect(dialog.get_by_role("row").filter(has_text="title")).to_contain_text("Plan B")
    expect(dialog.locator("ins").first).to_have_text("quick")
    dialog.get_by_role("button", name="Cancel").click()
    assert story.client.get(NAME).version == 24, "a preview writes nothing"
    page.get_by_role("button", name="Go back to it…").click()
    dialog.get_by_label("Why").fill("it was better")
    dialog.get_by_role("button", name="Go back").click()
    expect(page.get_by_text("Version 25 was made.").first).to_be_visible()
    expect(page.get_by_text("version 22 of 25")).to_be_visible()
    made = story.client.get(NAME)
    assert (made.version, made.value["title"], made.description) == (25, "Plan", "it was better")
    assert "colour" not in made.value


def test_one_version_is_undone_and_what_came_after_stays(story: Site, page: Page) -> None:
    open_tab(page, story, "time", "?v=22")
    page.get_by_role("button", name="Undo it…").click()
    dialog = page.get_by_role("dialog", name="Undo version 22")
    expect(dialog.get_by_role("row").filter(has_text="due")).to_contain_text("2026-12-01")
    dialog.get_by_role("button", name="As 2 ops").click()
    expect(dialog.get_by_role("listitem")).to_have_count(2)
    dialog.get_by_role("button", name="Undo", exact=True).click()
    expect(page.get_by_text("Version 25 was made.").first).to_be_visible()
    value = story.client.get(NAME).value
    assert (value["meta"], value["tags"], value["title"]) == ({"due": None}, ["a"], "Plan B")


def test_what_is_in_the_way_of_an_undo_is_named(story: Site, page: Page) -> None:
    story.client.update(NAME, {"meta.due": "2027-01-01"}, by="bo")
    open_tab(page, story, "time", "?v=22")
    page.get_by_role("button", name="Undo it…").click()
    dialog = page.get_by_role("dialog", name="Undo version 22")
    expect(dialog.get_by_role("alert").first).to_contain_text("1 place was changed again since")
    expect(dialog.get_by_role("row").filter(has_text="meta.due")).to_contain_text("2027-01-01")
    expect(dialog.get_by_role("button", name="Undo", exact=True)).to_be_disabled()


def test_a_deletion_is_a_version_and_can_be_gone_back_from(story: Site, page: Page) -> None:
    story.client.delete(NAME, by="cy", description="not needed")
    open_tab(page, story, "time")
    expect(page.get_by_text("The document was deleted in this version.")).to_be_visible()
    page.get_by_role("button", name="Version before").click()
    expect(row(page, "Plan B")).to_be_visible()
    page.get_by_role("button", name="Go back to it…").click()
    page.get_by_role("dialog").get_by_role("button", name="Go back").click()
    expect(page.get_by_text("Version 26 was made.").first).to_be_visible()
    assert story.client.get(NAME).value["title"] == "Plan B"


def test_any_two_versions_are_compared_also_of_two_branches(
    story: Site, page: Page, screenshot: Callable[[Page, str], None]
) -> None:
    open_tab(page, story, "diff", "?from=main:21&to=main:24")
    table = page.get_by_role("table")
    text = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name="text"))
    expect(text.locator("del").first).to_have_text("quick")
    expect(text.locator("ins").first).to_have_text("slow")
    expect(table.get_by_role("row").filter(has_text="colour")).to_contain_text("nothing")
    expect(table).not_to_contain_text("stars")
    screenshot(page, "diff")
    page.get_by_role("button", name="As 5 ops").click()
    expect(page.get_by_role("listitem").filter(has_text="set colour")).to_be_visible()
    page.get_by_role("button", name="Swap").click()
    expect(table.get_by_role("row").filter(has_text="colour").locator("td").nth(1)).to_have_text("nothing")
    page.get_by_role("combobox", name="From: branch").select_option("colours")
    page.get_by_role("group", name="From").get_by_label("Version").fill("")
    page.get_by_role("group", name="To").get_by_label("Version").fill("22")
    page.get_by_role("button", name="Compare").click()
    expect(table.get_by_role("row").filter(has_text="colour").filter(has_text="red")).to_be_visible()
    expect(table.get_by_role("rowheader")).to_have_count(2)


def test_the_margin_says_who_set_what_through_merges(
    story: Site, page: Page, screenshot: Callable[[Page, str], None]
) -> None:
    open_tab(page, story, "blame")
    expect(row(page, "colour").get_by_role("link")).to_have_attribute(
        "aria-label", re.compile("version 23, on colours, by bo.*nicer")
    )
    expect(row(page, "title").get_by_role("link")).to_have_attribute("aria-label", re.compile("version 24, by ana"))
    row(page, "2026-12-01").click()
    expect(page.get_by_role("complementary", name="Who set it")).to_contain_text("cy")
    screenshot(page, "blame")
    page.get_by_label("As of version").fill("21")
    page.get_by_role("button", name="Show").click()
    expect(row(page, "title").get_by_role("link")).to_have_attribute("aria-label", re.compile("version 1, by ana"))
    row(page, "title").get_by_role("link").click()
    expect(slider(page)).to_have_value("1")


def test_blame_stands_in_the_margin_of_the_scrubbed_value(story: Site, page: Page) -> None:
    open_tab(page, story, "time", "?v=22")
    page.get_by_label("Who set it, in the margin").check()
    expect(row(page, "due").get_by_role("link")).to_have_text(re.compile("22.*cy"))
    page.get_by_role("button", name="Version before").click()
    expect(row(page, "due").get_by_role("link")).to_have_text(re.compile("1.*ana"))


def test_a_perspective_holds_in_the_past_too(story: Site, page: Page) -> None:
    story.client.perspectives.put(pal.Perspective(name="public", documents="notes/*", include=("title",)))
    seen = "&perspective=public"
    open_tab(page, story, "time", f"?v=24{seen}")
    expect(row(page, "Plan B")).to_contain_text("changed")
    expect(page.get_by_role("treeitem")).to_have_count(2)
    page.get_by_role("button", name="Version before").click()
    expect(page.get_by_text("Version 23 is not kept, or has nothing to be seen.")).to_be_visible()
    page.get_by_role("button", name="Oldest version").click()
    expect(page.get_by_role("region", name="Version 1", exact=True)).to_contain_text("a first draft")
    open_tab(page, story, "diff", f"?from=main:1&to=main:24{seen}")
    expect(page.get_by_role("table").get_by_role("rowheader")).to_have_text([re.compile("whole"), re.compile("title")])
    open_tab(page, story, "blame", f"?v=24{seen}")
    expect(page.get_by_role("treeitem")).to_have_count(2)


def counting(count: int) -> Iterator[dict[str, Any]]:
    """The history of a document that counts, as an export has it."""
    yield {"palimpsest": "history", "format": 1, "documents": NAME}
    for version in range(1, count + 1):
        yield {
            "document": NAME,
            "branch": "main",
            "version": version,
            "kind": "create" if version == 1 else "update",
            "at": 1_577_836_800_000_000 + version * 1_000_000,
            "delta": [[0, ["n"], version]] if version > 1 else [[0, [], {"n": 1}]],
            "by": "ana",
            "description": None,
            "tags": [],
            "request": f"import:{version}",
        }


def test_a_hundred_thousand_versions_scroll_and_scrub(site: Site, page: Page) -> None:
    count = 100_000
    site.client.import_history(counting(count))
    open_tab(page, site, "time")
    expect(slider(page)).to_have_value(str(count))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    slider(page).focus()
    for _ in range(3):
        page.keyboard.press("PageDown")
    expect(slider(page)).to_have_value("70000")
    expect(row(page, "70000")).to_be_visible()
    versions = page.get_by_role("listbox", name="Versions, newest first")
    expect(versions.locator("[aria-selected=true]")).to_have_attribute("aria-posinset", str(count - 70_000 + 1))
    versions.focus()
    page.keyboard.press("End")
    expect(versions.locator(f"[aria-posinset='{count}']")).to_contain_text("ana")
    assert len(asked) < 40, "only what is shown is fetched"
    assert page.get_by_role("option").count() < 60, "only what is shown is in the page"


@pytest.mark.parametrize("tab", ["time", "diff", "blame"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_in_the_way_of_anybody(
    story: Site, new_page: Callable[..., Page], accessible: Callable[[Page], None], tab: str, scheme: str
) -> None:
    page = new_page(color_scheme=scheme)
    open_tab(page, story, tab)
    expect(page.get_by_text("Plan B").first).to_be_visible()
    accessible(page)


@pytest.mark.parametrize("tab", ["time", "diff", "blame"])
def test_a_phone_is_wide_enough(story: Site, new_page: Callable[..., Page], tab: str) -> None:
    page = new_page(viewport={"width": 360, "height": 740})
    open_tab(page, story, tab)
    expect(page.get_by_text("Plan B").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


DIFFER = """async (pairs) => {
  const { diffText } = await import("/console/lib/textdiff.js");
  return pairs.map(([before, after]) => diffText(before, after));
}"""


def test_two_texts_are_made_of_what_differs_between_them(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/")
    chance = random.Random(8)
    words = ["a", "b", "cd", " ", "  ", "\n", ".", "é", "🎈", "7", "77"]
    texts = ["".join(chance.choices(words, k=chance.randrange(30))) for _ in range(400)]
    long = ["".join(chance.choices(words, k=9_000)) for _ in range(2)]
    pairs = [*zip(texts[::2], texts[1::2], strict=True), ("", ""), ("", "a"), ("a b", "a b"), (long[0], long[1])]
    for (before, after), pieces in zip(pairs, page.evaluate(DIFFER, pairs), strict=True):
        assert "".join(piece["text"] for piece in pieces if piece["kind"] != "added") == before
        assert "".join(piece["text"] for piece in pieces if piece["kind"] != "removed") == after
        assert all(piece["text"] for piece in pieces)
        assert before != after or {piece["kind"] for piece in pieces} <= {"same"}
