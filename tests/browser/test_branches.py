"""Branches: the graph of versions, branches made, merged with a preview, deleted."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

import palimpsest as pal
from tests.browser.conftest import Site

NAME = "notes/plan"


@pytest.fixture
def story(site: Site) -> Site:
    """main: 12 versions. colours starts from main:10 and is merged as main:11; draft starts from main:11 and is not."""
    client = site.client
    client.create(NAME, {"title": "Plan", "stars": 0, "tags": ["a"]}, by="ana")
    for _ in range(9):
        client.update(NAME, {"stars": pal.Increment()}, by="bo")
    client.branch(NAME, "colours", by="bo", description="nicer")
    client.update(NAME, {"colour": "red"}, branch="colours", by="bo")
    client.merge(NAME, source="colours", by="ana", description="colours are in")
    client.branch(NAME, "draft", by="cy")
    client.update(NAME, {"title": "The plan", "tags": ["a", "c"]}, branch="draft", by="cy", description="words")
    client.update(NAME, {"stars": pal.Increment()}, by="ana")
    return site


def open_branches(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/#/documents/{NAME}/branches")
    expect(graph(page).get_by_role("option").first).to_be_visible()


def graph(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Versions of all branches")


def test_the_graph_has_lanes_forks_merges_and_runs(
    story: Site, page: Page, screenshot: Callable[[Page, str], None]
) -> None:
    open_branches(page, story)
    rows = graph(page).get_by_role("option")
    expect(rows).to_have_text(
        [
            re.compile(r"main:12.*main: newest"),
            re.compile(r"draft:12.*draft: newest.*cy.*words"),
            re.compile(r"main:11.*merges colours:11.*draft starts.*colours are in"),
            re.compile(r"colours:11.*colours: newest"),
            re.compile(r"main:10.*colours starts"),
            re.compile(r"8 versions of main, 2 to 9"),
            re.compile(r"main:1.*ana"),
        ]
    )
    expect(rows.nth(2).locator("path.stroke.merge")).to_have_count(1)
    expect(rows.nth(3).locator("path.stroke.fork")).not_to_have_count(0)
    circles = [rows.nth(at).locator("circle").first.get_attribute("cx") for at in (0, 1, 3)]
    assert len(set(circles)) > 1, "a branch has a lane of its own"
    rows.nth(2).click()
    expect(page.get_by_role("region", name="Version 11")).to_be_visible()
    screenshot(page, "branches")


def test_the_graph_is_walked_by_keys_and_a_run_is_opened(story: Site, page: Page) -> None:
    open_branches(page, story)
    graph(page).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    card = page.get_by_role("region", name="Version 11")
    expect(card).to_contain_text("colours are in")
    expect(card.get_by_role("link", name="colours:11")).to_be_visible()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(graph(page).get_by_role("option").filter(has_text="main:9")).to_be_visible()
    expect(graph(page).get_by_role("option").filter(has_text="main:2")).to_be_visible()
    expect(graph(page)).not_to_contain_text("versions of main")


def test_a_branch_that_someone_makes_comes_live(story: Site, page: Page) -> None:
    open_branches(page, story)
    story.client.branch(NAME, "late", by="bo")
    expect(page.get_by_role("row").filter(has_text="late")).to_contain_text("main:12")
    story.client.update(NAME, {"late": True}, branch="late", by="bo")
    expect(graph(page).get_by_role("option").filter(has_text="late:13")).to_be_visible()


def test_a_branch_is_made_at_a_version(story: Site, page: Page) -> None:
    open_branches(page, story)
    graph(page).get_by_role("option").filter(has_text="main:10").click()
    page.get_by_role("button", name="Branch from it…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Starts from")).to_have_value("main:10")
    expect(dialog.get_by_role("button", name="Make the branch")).to_be_disabled()
    dialog.get_by_label("Name").fill("draft")
    dialog.get_by_role("button", name="Make the branch").click()
    expect(dialog.get_by_role("alert").filter(has_text="draft")).to_be_visible()
    dialog.get_by_label("Name").fill("from-ten")
    dialog.get_by_label("Why").fill("to try something")
    dialog.get_by_role("button", name="Make the branch").click()
    expect(page.get_by_role("row").filter(has_text="from-ten")).to_contain_text("to try something")
    [made] = [branch for branch in story.client.branches(NAME) if branch.name == "from-ten"]
    assert (made.base, made.description) == (("main", 10), "to try something")


def test_a_branch_is_deleted_and_can_still_be_seen(story: Site, page: Page) -> None:
    open_branches(page, story)
    page.get_by_role("button", name="Delete draft…").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("row").filter(has_text="draft")).to_have_count(1)
    page.get_by_role("button", name="Delete draft…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete the branch").click()
    expect(page.get_by_role("row").filter(has_text="draft")).to_have_count(0)
    assert "draft" not in [branch.name for branch in story.client.branches(NAME)]
    page.get_by_label("Deleted branches, too").check()
    expect(page.get_by_role("row").filter(has_text="draft")).to_contain_text("deleted")
    gone = graph(page).get_by_role("option").filter(has_text="draft:12")
    expect(gone).to_contain_text("deleted branch")
    gone.click()
    expect(page.get_by_role("region", name="Version 12")).to_contain_text("words")


def test_a_merge_is_shown_before_it_is_done(story: Site, page: Page, screenshot: Callable[[Page, str], None]) -> None:
    open_branches(page, story)
    page.get_by_role("button", name="Merge draft…").click()
    dialog = page.get_by_role("dialog", name=f"Merge branches of {NAME}")
    merge = dialog.get_by_role("button", name="Merge", exact=True)
    expect(merge).to_be_disabled()
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog.get_by_role("row").filter(has_text="title")).to_contain_text("The plan")
    expect(merge).to_be_enabled()
    screenshot(page, "merge-preview")
    assert story.client.get(NAME).version == 12, "a preview writes nothing"
    dialog.get_by_label("One parent only (squash)").check()
    expect(merge).to_be_disabled()
    dialog.get_by_label("One parent only (squash)").uncheck()
    dialog.get_by_label("Why").fill("the words are better")
    merge.click()
    expect(graph(page).get_by_role("option").first).to_contain_text("merges draft:12")
    made = story.client.get(NAME)
    assert (made.version, made.value["title"], made.description) == (13, "The plan", "the words are better")


def test_nothing_is_merged_that_was_not_seen(story: Site, page: Page) -> None:
    open_branches(page, story)
    page.get_by_role("button", name="Merge draft…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog.get_by_role("row").filter(has_text="title")).to_be_visible()
    story.client.update(NAME, {"stars": pal.Increment()}, by="bo")
    dialog.get_by_role("button", name="Merge", exact=True).click()
    expect(dialog.get_by_role("alert").filter(has_text="version 13, not 12")).to_be_visible()
    assert story.client.get(NAME).version == 13
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog.get_by_text("into main:13")).to_be_visible()
    story.client.update(NAME, {"late": True}, branch="draft", by="cy")
    dialog.get_by_role("button", name="Merge", exact=True).click()
    expect(graph(page).get_by_role("option").filter(has_text="merges draft:12")).to_be_visible()
    assert "late" not in story.client.get(NAME).value


def test_rules_by_path_settle_conflicts(story: Site, page: Page) -> None:
    story.client.update(NAME, {"title": "Plan B", "tags": ["a", "b"]}, by="ana")
    open_branches(page, story)
    page.get_by_role("button", name="Merge draft…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog.get_by_role("heading", name="2 conflicts to resolve")).to_be_visible()
    for path, rule in (("tags", "union"), ("title", "theirs")):
        dialog.get_by_role("button", name="Add a rule").click()
        dialog.get_by_label("Path of the rule").last.fill(path)
        dialog.get_by_label("Rule", exact=True).last.fill(rule)
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog.get_by_role("heading", name="What would change")).to_be_visible()
    expect(dialog).to_contain_text("1 conflict settled")
    dialog.get_by_role("button", name="Merge", exact=True).click()
    expect(graph(page).get_by_role("option").first).to_contain_text("merges draft:12")
    assert story.client.get(NAME).value["tags"] == ["a", "b", "c"]
    assert story.client.get(NAME).value["title"] == "The plan"


def test_a_rule_that_is_none_is_said(story: Site, page: Page) -> None:
    open_branches(page, story)
    page.get_by_role("button", name="Merge draft…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Add a rule").click()
    dialog.get_by_label("Rule", exact=True).fill("nonsense")
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog.get_by_role("alert").first).to_contain_text("nonsense")
    expect(dialog.get_by_role("button", name="Merge", exact=True)).to_be_disabled()


def test_what_is_up_to_date_is_not_merged(story: Site, page: Page) -> None:
    open_branches(page, story)
    page.get_by_role("button", name="Merge colours…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog).to_contain_text("there is nothing to merge")
    expect(dialog.get_by_role("button", name="Merge", exact=True)).to_be_disabled()


def test_a_document_without_branches_has_a_graph(site: Site, page: Page) -> None:
    site.client.create(NAME, {"n": 1}, by="ana")
    open_branches(page, site)
    expect(graph(page).get_by_role("option")).to_have_text([re.compile("main:1.*newest.*ana")])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_in_the_way_of_anybody(
    story: Site, new_page: Callable[..., Page], accessible: Callable[[Page], None], scheme: str
) -> None:
    page = new_page(color_scheme=scheme)
    open_branches(page, story)
    graph(page).get_by_role("option").first.click()
    expect(page.get_by_role("region", name="Version 12")).to_be_visible()
    accessible(page)
    page.get_by_role("button", name="Merge draft…").click()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("dialog").get_by_role("row").first).to_be_visible()
    accessible(page)


def test_a_phone_is_wide_enough(story: Site, new_page: Callable[..., Page]) -> None:
    page = new_page(viewport={"width": 360, "height": 740})
    open_branches(page, story)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


class Story:
    """Branches as they grow: each version comes after those it comes from, so that there is no way round in a circle."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.branches: dict[str, dict[str, Any]] = {
            "main": {"document": NAME, "branch": "main", "base": None, "head": 1, "deleted": False}
        }
        self.merges: dict[str, dict[str, list[tuple[str, int]]]] = {}
        for _ in range(60):
            self.random.choice([self.commit, self.commit, self.commit, self.fork, self.merge])()

    def commit(self) -> str:
        name = self.random.choice(list(self.branches))
        self.branches[name]["head"] += 1
        return name

    def fork(self) -> None:
        base = self.random.choice(list(self.branches))
        head = self.branches[base]["head"]
        # A branch without versions shows those of its base, whose number it may name as its own.
        branch = {"document": NAME, "branch": f"b{len(self.branches)}", "base": [base, head], "head": head}
        self.branches[branch["branch"]] = branch | {"deleted": False}

    def merge(self) -> None:
        source, into = self.random.choice(list(self.branches)), self.commit()
        if source != into:
            node = (source, self.branches[source]["head"])
            self.merges.setdefault(into, {})[str(self.branches[into]["head"])] = [node]

    def record(self) -> dict[str, Any]:
        return {name: {"merges": merges} for name, merges in self.merges.items()}


LAYOUT = """async (stories) => {
  const { fromRecord, layout } = await import("/console/lib/graph.js");
  return stories.map(({ branches, record }) => {
    const { lines, joins } = fromRecord(branches, record);
    const { rows, edges, lanes } = layout(lines, joins);
    return { rows: rows.map(({ kind, branch, first, last, lane }) => ({ kind, branch, first, last, lane })), edges, lanes };
  });
}"""


def test_every_graph_can_be_drawn(site: Site, page: Page) -> None:
    """Edges lead down, every version is in one row, and no stroke runs through a version of another line."""
    page.goto(f"{site.url}/")
    stories = [Story(seed) for seed in range(40)]
    asked = [{"branches": list(story.branches.values()), "record": story.record()} for story in stories]
    for story, drawn in zip(stories, page.evaluate(LAYOUT, asked), strict=True):
        seen = [(row["branch"], number) for row in drawn["rows"] for number in range(row["first"], row["last"] + 1)]
        made = [
            (name, number)
            for name, branch in story.branches.items()
            for number in range((branch["base"] or ["", 0])[1] + 1, branch["head"] + 1)
        ]
        assert sorted(seen) == sorted(made)
        assert {row["lane"] for row in drawn["rows"] if row["branch"] == "main"} == {0}
        for edge in drawn["edges"]:
            assert edge["from"]["row"] < edge["to"]["row"]
            assert edge["lane"] < drawn["lanes"]
            between = drawn["rows"][edge["from"]["row"] + 1 : edge["to"]["row"]]
            own = {drawn["rows"][edge[end]["row"]]["branch"] for end in ("from", "to")}
            assert not [row for row in between if row["lane"] == edge["lane"] and row["branch"] not in own]
