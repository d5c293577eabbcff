"""Perspectives and roles, edited with a look at what a reader gets; tokens, made and revoked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

import palimpsest as pal
from tests.browser.conftest import Site

ANA = {"name": "Ana", "card": "4111111111111111", "home": {"city": "Porto", "street": "Rua A"}}


@pytest.fixture
def people(site: Site) -> Site:
    site.client.create("people/ana", ANA, by="ana")
    site.client.perspectives.put(pal.Perspective(name="public", documents="people/*", include=("name",)))
    return site


def test_a_perspective_is_edited_with_a_live_preview(
    people: Site, page: Page, screenshot: Callable[[Page, str], None]
) -> None:
    page.goto(f"{people.url}/#/access")
    page.get_by_role("link", name="public").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Perspective public")
    seen = page.get_by_label("What a reader sees", exact=True).and_(page.locator("pre"))
    expect(seen).to_have_text('{\n  "name": "Ana"\n}')
    page.get_by_label("Shown", exact=True).fill("name\ncard\nhome.city")
    expect(seen).to_contain_text("4111111111111111")
    page.get_by_role("button", name="Add a mask").click()
    page.get_by_label("path").fill("card")
    page.get_by_label("kind of mask").select_option("last")
    expect(seen).to_contain_text('"card": "***1111"')
    expect(seen).not_to_contain_text("Rua A")
    screenshot(page, "perspective")
    assert people.client.perspectives.get("public").include == ("name",), "nothing is kept before it is saved"
    page.get_by_label("Why").fill("support asked for it")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="public is saved")).to_be_attached()
    kept = people.client.perspectives.get("public")
    assert kept.include == ("name", "card", "home.city")
    assert kept.mask["card"].kind == "last"
    assert next(iter(people.client.history("$system/perspectives/public"))).description == "support asked for it"


def test_what_makes_no_sense_is_said_where_it_is(people: Site, page: Page) -> None:
    page.goto(f"{people.url}/#/access/perspectives/public")
    expect(page.get_by_label("Of the document")).to_have_value("people/ana")
    page.get_by_label("Shown", exact=True).fill("name..x")
    expect(page.get_by_label("Shown", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Shown", exact=True).fill("name")
    expect(page.get_by_label("Shown", exact=True)).to_have_attribute("aria-invalid", "false")


def test_a_perspective_is_written_as_json(people: Site, page: Page) -> None:
    page.goto(f"{people.url}/#/access/perspectives/+")
    page.get_by_label("Name", exact=True).fill("cities")
    page.get_by_role("button", name="Write it as JSON").click()
    page.get_by_label("Definition").and_(page.locator("textarea")).fill(
        '{"documents": "people/*", "include": ["home.city"]}'
    )
    page.get_by_role("button", name="Write it in the form").click()
    expect(page.get_by_label("Shown", exact=True)).to_have_value("home.city")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Perspective cities")
    assert people.client.perspectives.get("cities").include == ("home.city",)


def test_a_role_shows_what_it_gives(people: Site, page: Page, screenshot: Callable[[Page, str], None]) -> None:
    page.goto(f"{people.url}/#/access/roles/+")
    page.get_by_label("Name", exact=True).fill("support")
    page.get_by_label("documents").fill("people/**")
    page.get_by_label("seen through").select_option("public")
    page.get_by_label("subscribe").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Role support")
    expect(page.get_by_text("May read, subscribe, through public.")).to_be_visible()
    seen = page.get_by_label("What a reader sees", exact=True).and_(page.locator("pre"))
    expect(seen).to_have_text('{\n  "name": "Ana"\n}')
    screenshot(page, "role")
    grant = people.client.roles.get("support").grants[0]
    assert (grant.documents, grant.actions, grant.perspective) == ("people/**", ("read", "subscribe"), "public")


def test_the_first_token_closes_the_server_and_is_shown_once(people: Site, page: Page) -> None:
    page.goto(f"{people.url}/#/access/tokens")
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Who is to show it").fill("ana")
    page.get_by_role("button", name="Create").click()
    token = page.get_by_label("Token", exact=True).input_value()
    assert token.startswith("pal_")
    page.get_by_role("button", name="Close").click()
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("row").filter(has_text="ana")).to_be_visible()
    expect(page.get_by_text(token)).to_have_count(0)
    with pal.connect_sync(people.server_url, token=token) as client:
        assert [each.principal for each in client.tokens.list()] == ["ana"]


def test_a_token_is_revoked(people: Site, page: Page) -> None:
    admin = people.client.tokens.create("ana", roles=["admin"])
    with pal.connect_sync(people.server_url, token=admin.text) as client:
        other = client.tokens.create("bo", roles=["admin"])
        page.goto(f"{people.url}/#/access/tokens")
        page.get_by_label("Token", exact=True).fill(admin.text or "")
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name=f"Revoke the token {other.id} of bo").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(page.get_by_role("row").filter(has_text="bo")).to_have_count(0)
        assert [each.principal for each in client.tokens.list()] == ["ana"]


@pytest.mark.parametrize("path", ["access", "access/perspectives/public", "access/roles/+", "access/tokens"])
def test_nothing_serious_for_those_who_cannot_see_it(
    path: str, people: Site, page: Page, dark_page: Page, accessible: Callable[[Page], None]
) -> None:
    for each in (page, dark_page):
        each.goto(f"{people.url}/#/{path}")
        expect(each.locator("main")).not_to_have_attribute("aria-busy", "true")
        accessible(each)
