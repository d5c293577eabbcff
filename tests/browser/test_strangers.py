"""The console as those see it who may not see everything, or at a bad time: a role with a part of the store, a token that is revoked, a server that
does not answer, names that need care, a phone, and paper."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, ViewportSize, expect

import palimpsest as pal
from tests.browser.conftest import Site

PHONE: ViewportSize = {"width": 390, "height": 844}
NAMES = [
    "odd/with space",
    "odd/a.b",
    "odd/100%",
    "odd/%41",
    "odd/#1",
    "odd/what?x=1&y",
    'odd/"it\'s"',
    "odd/<b>",
    "odd/ü日本",
    "value",
]
WAIT_MILLISECONDS = 5_000
"""Longer than the console waits before it says that it does."""


@pytest.fixture
def support(site: Site, page: Page) -> Page:
    """A page with the token of somebody who sees `people/**` through a perspective, and nothing else."""
    site.client.create("people/ana", {"name": "Ana", "card": "4111111111111111"}, by="ana")
    site.client.create("secret/plans", {"plan": 9}, by="bo")
    site.client.perspectives.put(pal.Perspective(name="public", documents="people/*", include=("name",)))
    grant = pal.Grant(documents="people/**", actions=("read", "subscribe"), perspective="public")
    site.client.roles.put("support", pal.Role(grants=(grant,)))
    admin = site.client.tokens.create("root", roles=["admin"])
    with pal.connect_sync(site.server_url, token=admin.text) as client:
        token = client.tokens.create("sue", roles=["support"]).text
    page.add_init_script(f"sessionStorage.setItem('palimpsest.token', '{token}')")
    return page


@pytest.mark.parametrize(
    "place",
    [
        "documents",
        "documents/people/ana/time",
        "documents/people/ana/diff",
        "documents/people/ana/blame",
        "documents/people/ana/branches",
        "documents/people/ana/value?version=1",
        "documents/secret/plans/value",
        "documents/%24system/roles/support/value",
        "merges",
        "access",
        "access/roles",
        "access/tokens",
        "reconcile",
        "retention",
        "health",
    ],
)
def test_who_has_no_right_is_told_so_calmly(site: Site, support: Page, place: str) -> None:
    support.goto(f"{site.url}/#/{place}")
    expect(support.get_by_text("You have no right to see this.").first).to_be_visible()
    expect(support.get_by_text("with the action").first).to_be_visible()
    expect(support.get_by_role("button", name="Try again")).to_have_count(0)
    expect(support.locator(".notice.bad")).to_have_count(0)
    expect(support.get_by_text("4111")).to_have_count(0)


def test_a_part_of_a_store_is_found_and_seen_through_its_perspective(site: Site, support: Page) -> None:
    support.goto(f"{site.url}/")
    expect(support.get_by_text("say above which, such as people/**")).to_be_visible()
    support.get_by_label("Find documents").fill("people")
    names = support.get_by_role("listbox", name="Documents").get_by_role("option")
    expect(names).to_have_count(0)  # `people` itself is not among what the role covers, and neither name is told
    support.get_by_label("Find documents").fill("people/**")
    expect(names).to_have_text(["people/ana"])
    names.first.click()
    expect(support.get_by_role("treeitem").filter(has_text="name")).to_be_visible()
    expect(support.get_by_label("See it as").locator("option:checked")).to_have_text("what you may see")
    expect(support.get_by_text("4111")).to_have_count(0)
    support.get_by_role("link", name="Time", exact=True).click()
    expect(support.get_by_text("You have no right to see this.")).to_be_visible()
    expect(support.locator("#version")).to_have_text("version 1")
    support.get_by_role("link", name="Value", exact=True).click()
    expect(support.get_by_role("treeitem").filter(has_text="name")).to_be_visible()


def test_what_is_not_there_is_not_offered_to_be_deleted(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/#/documents/notes/none/value")
    expect(page.get_by_text("There is no notes/none to be seen here.")).to_be_visible()
    expect(page.get_by_role("button", name="Delete…")).to_be_hidden()


def test_a_page_whose_token_was_revoked_does_not_look_live(site: Site, page: Page) -> None:
    site.client.create("notes/1", {"a": 1})
    admin = site.client.tokens.create("root", roles=["admin"])
    with pal.connect_sync(site.server_url, token=admin.text) as client:
        other = client.tokens.create("bo", roles=["admin"])
        page.add_init_script(f"sessionStorage.setItem('palimpsest.token', '{other.text}')")
        with page.expect_response(lambda answer: "/events" in answer.url):
            page.goto(f"{site.url}/#/documents/notes/1/value")
        client.tokens.revoke(other.id)
        expect(page.get_by_text("not live: the token is not good any more")).to_be_visible()
        page.get_by_role("button", name="Dismiss").click()
        expect(page.get_by_text("not live: the token is not good any more")).to_be_visible()


def test_waiting_for_a_server_that_does_not_answer_is_said(site: Site, page: Page) -> None:
    held: list[Route] = []
    page.clock.install()
    page.route(f"{site.url}/merges", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks a handler, which a method of a list forbids
    page.goto(f"{site.url}/#/merges")
    expect(page.get_by_text("Loading…")).to_be_visible()
    page.clock.fast_forward(WAIT_MILLISECONDS)
    expect(page.get_by_text("Waiting for the server…")).to_be_visible()
    held[0].continue_()
    expect(page.get_by_text("No merge is pending.")).to_be_visible()
    expect(page.get_by_text("Waiting for the server…")).to_be_hidden()


def test_a_refusal_goes_once_something_else_is_written(site: Site, page: Page) -> None:
    site.client.create("notes/1", {})
    page.goto(f"{site.url}/")
    page.get_by_role("button", name="New document").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("notes/1")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert").filter(has_text="notes/1")).to_be_visible()
    dialog.get_by_label("Name").fill("notes/2")
    expect(dialog.get_by_role("alert")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="New document")).to_be_focused()


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_found_and_opened(site: Site, page: Page, name: str) -> None:
    site.client.create(name, {"name": name}, by="o'neill <x>")
    site.client.update(name, {"again": True})
    page.goto(f"{site.url}/")
    page.get_by_role("listbox", name="Documents").get_by_role("option").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.locator("#version")).to_have_text("version 2")
    page.get_by_role("link", name="Blame", exact=True).click()
    expect(page.get_by_role("treeitem").filter(has_text="again")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.get_by_role("treeitem").filter(has_text="again")).to_be_visible()


def test_a_phone_shows_which_page_it_is_on(site: Site, page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.goto(f"{site.url}/#/health")
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    expect(page.get_by_role("link", name="Health")).to_be_in_viewport(ratio=1)


def test_paper_has_the_value_and_nothing_to_click(site: Site, new_page: Callable[..., Page]) -> None:
    site.client.create("notes/1", {"lines": [f"line {number}" for number in range(200)]})
    page = new_page(color_scheme="dark")
    page.goto(f"{site.url}/#/documents/notes/1/value")
    expect(page.get_by_role("treeitem").first).to_be_visible()
    page.emulate_media(media="print")
    value = page.get_by_label("The selected value")
    expect(value).to_contain_text("line 199")
    assert value.evaluate("node => node.scrollHeight <= node.clientHeight + 1"), "all of it is there, without scrolling"
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("navigation", name="Console")).to_be_hidden()
    expect(page.get_by_role("button", name="Edit")).to_be_hidden()
