from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.errors import InvalidValue
from palimpsest.state import freeze
from palimpsest.state.retention import (
    Retention,
    effective_tags,
    keep_from,
    kept_tags,
    parse_retention,
    questions,
    tag_matches,
    to_value,
)

# --- policies as data ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "policy"),
    [
        ({"documents": "**"}, Retention(documents="**")),
        (
            {"documents": "logs/*", "branch": "a/b", "versions": 10, "seconds": 1.5, "bytes_max": 5, "tags": ["v*", "x"]},
            Retention(
                documents="logs/*", branch="a/b", versions=10, seconds=1.5, bytes_max=5, tags=("v*", "x"), description=""
            ),
        ),
        ({"documents": "a", "tags": [], "description": "why"}, Retention(documents="a", tags=(), description="why")),
        ({"documents": "$system/**", "seconds": 86400.0}, Retention(documents="$system/**", seconds=86_400.0)),
    ],
)  # fmt: skip
def test_there_and_back(value: Any, policy: Retention) -> None:
    assert parse_retention(value) == policy
    assert parse_retention(freeze(value)) == policy
    assert to_value(policy) == value


def test_defaults_may_be_written() -> None:
    value = {"documents": "**", "branch": "main", "versions": None, "tags": ["*"], "seconds": 60}
    assert parse_retention(value) == Retention(documents="**", seconds=60.0)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (None, ""),
        ([], ""),
        ({}, ""),
        ({"documents": "**", "version": 5}, ""),
        ({"documents": 5}, "documents"),
        ({"documents": ""}, "documents"),
        ({"documents": "a**"}, "documents"),
        ({"documents": "a//b"}, "documents"),
        ({"documents": "x" * 513}, "documents"),
        ({"documents": "**", "branch": "*"}, "branch"),
        ({"documents": "**", "branch": None}, "branch"),
        ({"documents": "**", "versions": 0}, "versions"),
        ({"documents": "**", "versions": -1}, "versions"),
        ({"documents": "**", "versions": 1.5}, "versions"),
        ({"documents": "**", "versions": True}, "versions"),
        ({"documents": "**", "versions": "5"}, "versions"),
        ({"documents": "**", "seconds": 0}, "seconds"),
        ({"documents": "**", "seconds": -5}, "seconds"),
        ({"documents": "**", "seconds": 1e300}, "seconds"),
        ({"documents": "**", "bytes_max": 0}, "bytes_max"),
        ({"documents": "**", "tags": "*"}, "tags"),
        ({"documents": "**", "tags": ["a", 1]}, "tags.1"),
        ({"documents": "**", "tags": [""]}, "tags"),
        ({"documents": "**", "description": 5}, "description"),
    ],
)
def test_what_makes_no_sense(value: Any, path: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_retention(freeze(value))
    assert caught.value.path == path
    assert caught.value.reason in caught.value.message


# --- deciding --------------------------------------------------------------------------------------------------------


def policy(versions: int | None = None, seconds: float | None = None, bytes_max: int | None = None) -> Retention:
    return Retention(documents="**", versions=versions, seconds=seconds, bytes_max=bytes_max)


@pytest.mark.parametrize(
    ("policies", "first"),
    [
        ([], 1),
        ([policy()], 1),
        ([policy(versions=10)], 91),
        ([policy(versions=1)], 100),
        ([policy(versions=100)], 1),
        ([policy(versions=1_000)], 1),
        ([policy(seconds=60.0)], 81),
        ([policy(seconds=1.0)], 100),  # none is younger; the newest stays all the same
        ([policy(bytes_max=500)], 50),
        ([policy(bytes_max=1)], 100),
        ([policy(versions=10, seconds=60.0)], 81),  # one of the two is enough
        ([policy(versions=30, seconds=60.0)], 71),
        ([policy(versions=10, seconds=1.0)], 91),
        ([policy(versions=60, bytes_max=500)], 50),  # whatever the two say
        ([policy(versions=10, bytes_max=500)], 91),
        ([policy(versions=60, seconds=60.0, bytes_max=1)], 100),
        ([policy(versions=10), policy(versions=20)], 81),  # it goes only if every one of them lets it go
        ([policy(versions=10), policy()], 1),
        ([policy(versions=60), policy(bytes_max=500)], 41),
    ],
)
def test_from_where_on_versions_are_kept(policies: list[Retention], first: int) -> None:
    younger = {60.0: 81, 1.0: 101}
    reach = {500: 50, 1: 100}
    assert keep_from(policies, newest=100, younger=younger, reach=reach) == first


POLICIES = st.lists(
    st.builds(
        policy,
        st.none() | st.integers(1, 12),
        st.none() | st.sampled_from([0.5, 3.0, 7.5, 100.0]),
        st.none() | st.integers(1, 60),
    ),
    max_size=3,
)


@given(POLICIES, st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=12))
def test_as_version_by_version(policies: list[Retention], made: list[tuple[int, int]]) -> None:
    """made: for each version how many seconds passed since the one before it, and its size."""
    newest = len(made)
    ages = [sum(seconds for seconds, _ in made[version:]) for version in range(1, newest + 1)]
    sizes = [size for _, size in made]
    seconds, bounds = questions(policies)
    younger = {age: next((at for at in range(1, newest + 1) if ages[at - 1] < age), newest + 1) for age in seconds}
    reach = {
        bound: next((at for at in range(1, newest + 1) if sum(sizes[at - 1 :]) <= bound), newest) for bound in bounds
    }

    def keeps(policy: Retention, version: int) -> bool:
        if version == newest:
            return True
        if policy.bytes_max is not None and sum(sizes[version - 1 :]) > policy.bytes_max:
            return False
        if policy.versions is None and policy.seconds is None:
            return True
        among_newest = policy.versions is not None and version > newest - policy.versions
        return among_newest or (policy.seconds is not None and ages[version - 1] < policy.seconds)

    kept = [at for at in range(1, newest + 1) if not policies or any(keeps(policy, at) for policy in policies)]
    first = keep_from(policies, newest=newest, younger=younger, reach=reach)
    assert kept == list(range(first, newest + 1))


def test_what_has_to_be_looked_up() -> None:
    policies = [policy(5, 60.0), policy(None, 60.0, 7), policy(1, 3.0, 8), policy()]
    assert questions(iter(policies)) == ({60.0, 3.0}, {7, 8})


# --- tags ------------------------------------------------------------------------------------------------------------


def test_the_tags_of_several_policies_count_together() -> None:
    policies = [Retention(documents="**", tags=tags) for tags in (("v*", "b"), ("a", "b"), ())]
    assert kept_tags(policies) == ("a", "b", "v*")
    assert kept_tags([]) == ()


@pytest.mark.parametrize(
    ("patterns", "tags", "matches"),
    [
        ([], ["a"], False),
        (["*"], [], False),
        (["*"], ["a"], True),
        (["v*"], ["b", "v1"], True),
        (["v*"], ["V1"], False),
        (["v?.0", "[ab]"], ["b"], True),
        (["*/x"], ["a/b/x"], True),
    ],
)
def test_tags_match_patterns(patterns: list[str], tags: list[str], matches: bool) -> None:
    assert tag_matches(patterns, tags) is matches
    assert tag_matches(tuple(patterns), iter(tags)) is any(fnmatchcase(tag, each) for tag in tags for each in patterns)


@pytest.mark.parametrize(
    ("made_with", "labels", "tags"),
    [
        ([], {}, ()),
        (["b", "a"], {}, ("a", "b")),
        (["b"], {"a": True}, ("a", "b")),
        (["b", "a"], {"a": False}, ("b",)),
        (["a"], {"a": True}, ("a",)),
        ([], {"a": False}, ()),
    ],
)
def test_tags_that_were_given_and_lost(made_with: list[str], labels: dict[str, bool], tags: tuple[str, ...]) -> None:
    assert effective_tags(iter(made_with), labels) == tags
