from __future__ import annotations

from typing import Any

import pytest

from palimpsest.errors import InvalidName, InvalidValue
from palimpsest.state import freeze
from palimpsest.state.system import check_system, shared_base


@pytest.mark.parametrize("value", [{"documents": "logs/**", "versions": 10}, {"documents": "**"}])
def test_a_policy_that_makes_sense(value: Any) -> None:
    check_system("$system/retention/logs", freeze(value))


@pytest.mark.parametrize("value", [None, [], {}, {"documents": "a**"}, {"documents": "**", "versions": 0}])
def test_a_policy_that_makes_none(value: Any) -> None:
    with pytest.raises(InvalidValue):
        check_system("$system/retention/logs", freeze(value))


def test_a_policy_may_be_deleted() -> None:
    check_system("$system/retention/logs", None, deleted=True)


@pytest.mark.parametrize(
    "name",
    ["$x", "$system", "$system/retention", "$system/retention/", "$system/retention/a/b", "$system/x/y", "$versions"],
)
@pytest.mark.parametrize("deleted", [False, True])
def test_names_without_a_use(name: str, deleted: bool) -> None:
    with pytest.raises(InvalidName) as caught:
        check_system(name, freeze({"documents": "**"}), deleted=deleted)
    assert caught.value.name == name


SHARED: Any = {
    "**": {"base": "main"},
    "c/**": {"base": "x", "at": 7, "by": "ana", "description": "why"},
    "c/*/e": {"base": "y"},
}


def test_a_branch_of_many_documents() -> None:
    check_system("$system/branches/a/b", freeze(SHARED))
    check_system("$system/branches/a/b", None, deleted=True)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"c/*": []},
        {"c/*": {}},
        {"c/*": {"base": 1}},
        {"c/*": {"base": "x", "more": 1}},
    ],
)
def test_what_is_no_branch_of_many_documents(value: Any) -> None:
    with pytest.raises(InvalidValue):
        check_system("$system/branches/x", freeze(value))


@pytest.mark.parametrize("value", [{"c/*": {"base": "a//b"}}, {"a**": {"base": "x"}}])
def test_a_branch_whose_base_or_pattern_has_a_name_that_none_can_have(value: Any) -> None:
    with pytest.raises(InvalidName):
        check_system("$system/branches/x", freeze(value))


@pytest.mark.parametrize("value", [SHARED, freeze(SHARED)])
def test_the_longest_pattern_says_what_stands_in(value: Any) -> None:
    assert [shared_base(value, name) for name in ("a", "c/d", "c/d/e")] == ["main", "x", "y"]
    assert shared_base(value, "$system/retention/logs") is None
    assert shared_base({"c/*": {"base": "x"}}, "c/d/e") is None


def test_a_pending_merge_is_a_map() -> None:
    check_system("$system/merges/0123", freeze({"kind": "merge"}))
    check_system("$system/merges/0123", None, deleted=True)
    with pytest.raises(InvalidValue):
        check_system("$system/merges/0123", freeze([]))
    with pytest.raises(InvalidName):
        check_system("$system/merges/a/b", freeze({}))
