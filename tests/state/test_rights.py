"""What a principal may do, against a dumb model that asks every grant about every name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.errors import Forbidden, InvalidRequest
from palimpsest.state.names import Pattern
from palimpsest.state.rights import Rights, View, forbidden
from palimpsest.state.roles import ACTIONS, Allowance, Grant, Role, patterns_of

_NAMES = ("a", "a/b", "a/b/c", "b", "b/a", "$system/roles/x", "$import")
_PATTERNS = st.sampled_from(("**", "*", "a", "a/*", "a/**", "**/a", "b/a", "$system/**", "$import"))
_GRANTS = st.builds(
    Grant,
    documents=_PATTERNS | st.lists(_PATTERNS, min_size=1, max_size=2).map(tuple),
    actions=st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=2).map(tuple),
)
_ROLES = st.dictionaries(
    st.sampled_from("pqr"), st.none() | st.lists(_GRANTS, max_size=3).map(lambda grants: Role(grants=tuple(grants)))
)


def allowed(roles: dict[str, Role | None], action: str, name: str) -> bool:
    grants = [grant for role in roles.values() if role is not None for grant in role.grants]
    wanted = {"admin"} if name.startswith("$") else {action, "admin"}
    return any(
        Pattern(pattern).matches(name) and wanted & set(grant.actions)
        for grant in grants
        for pattern in patterns_of(grant)
    )


@given(_ROLES, st.sampled_from(ACTIONS))
def test_a_name_is_open_where_a_grant_says_so(roles: dict[str, Role | None], action: str) -> None:
    rights = Rights("bo", roles)
    assert not rights.is_admin
    for name in _NAMES:
        assert rights.may(action, name) == allowed(roles, action, name)


@given(_ROLES, st.sampled_from(ACTIONS), _PATTERNS)
def test_a_pattern_that_is_open_has_only_names_that_are(
    roles: dict[str, Role | None], action: str, pattern: str
) -> None:
    if Rights("bo", roles).may(action, pattern):
        assert all(allowed(roles, action, name) for name in _NAMES if Pattern(pattern).matches(name))


def rights(*grants: Grant, **limits: int) -> Rights:
    return Rights("bo", {"r": Role(grants=grants, limits=Allowance(**limits))})


def seen(perspective: str, documents: str = "**", level: int | None = None, actions: str = "read") -> Grant:
    return Grant(documents=documents, actions=tuple(actions.split()), perspective=perspective, level=level)


def test_the_role_admin_may_do_everything() -> None:
    admin = Rights("root", {"admin": None})
    assert admin.is_admin
    assert admin.may("admin", "")
    assert admin.may("read", "$system/tokens/x")
    assert admin.has_any("merge")
    assert admin.has_one_of(("staff",))
    assert admin.decide([("write", "$import")]) is None
    admin.require_through([("read", "a")], View("p", None))


def test_a_document_of_its_name_is_not_looked_at() -> None:
    assert Rights("root", {"admin": Role()}).is_admin


def test_the_whole_store_takes_the_role_admin() -> None:
    everything = Grant(documents=("**", "$system/**", "$import"), actions=ACTIONS)
    assert not rights(everything).may("admin", "")


def test_what_is_whole_wins() -> None:
    both = rights(seen("p"), Grant(documents="a/*", actions=("read",)))
    assert both.decide([("read", "a/b")]) is None
    assert both.decide([("read", "b")]) == View("p", None)
    assert both.may_somehow("read", "b")
    assert not both.may("read", "b")
    with pytest.raises(InvalidRequest, match="through p"):
        both.decide([("read", "a/b"), ("read", "b")])


def test_several_views_have_to_be_chosen_from() -> None:
    several = rights(seen("q"), seen("p"), seen("o", "b"))
    with pytest.raises(InvalidRequest, match="p, q:"):
        several.decide([("read", "a")])
    several.require_through([("read", "a")], View("p", None))
    with pytest.raises(Forbidden):
        several.require_through([("read", "a")], View("o", None))


def test_many_documents_are_seen_through_what_they_have_in_common() -> None:
    apart = rights(seen("p", "a"), seen("p", "b"), seen("q", "b"), seen("q", "c"))
    assert apart.decide([("read", "a"), ("read", "b")]) == View("p", None)
    with pytest.raises(InvalidRequest, match="apart"):
        apart.decide([("read", "a"), ("read", "c")])
    with pytest.raises(Forbidden):
        apart.decide([("read", "a"), ("read", "d")])


def test_of_a_family_the_highest_level_is_taken() -> None:
    levels = rights(seen("f", level=1), seen("f", level=3), seen("f", "a", level=2))
    assert levels.decide([("read", "a")]) == View("f", 3)
    for level in (0, 1, 2, 3):
        levels.require_through([("read", "a")], View("f", level))
    for view in (View("f", 4), View("f", None)):
        with pytest.raises(Forbidden):
            levels.require_through([("read", "a")], view)
    assert str(View("f", 3)) == "f@3"


def test_each_action_is_asked_for() -> None:
    writer = rights(seen("p", actions="write"), Grant(documents="a", actions=("write", "history")))
    with pytest.raises(Forbidden) as caught:
        writer.decide([("write", "b"), ("read", "b")])
    assert (caught.value.action, caught.value.document) == ("read", "b")
    writer.require(("write", "history"), ("a",))
    with pytest.raises(Forbidden):
        writer.require(("write", "history"), ("a", "b"))


def test_perspectives_that_name_roles() -> None:
    assert rights().has_one_of(())
    assert rights().has_one_of(("q", "r"))
    assert not rights().has_one_of(("q",))


def test_of_a_bound_the_larger_is_taken() -> None:
    roles = {
        "p": Role(limits=Allowance(connections_max=3, subscriptions_max=1)),
        "q": Role(limits=Allowance(connections_max=2)),
    }
    found = Rights("bo", roles, Allowance(subscriptions_max=5)).limits
    assert found == Allowance(connections_max=3, subscriptions_max=5)


def test_the_text_of_a_refusal_is_always_the_same() -> None:
    assert forbidden("read", "a").message == "no right to read 'a'"
    assert forbidden("admin", "").message == "no right to admin the whole store"


def test_what_is_remembered_has_an_end() -> None:
    many = rights(Grant(documents="a/**", actions=("read",)))
    for number in range(10_000):
        assert many.may("read", f"a/{number}")
    assert len(many._remembered) <= 4_096
