from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.errors import InvalidName, LimitExceeded
from palimpsest.state.names import Pattern, check_branch, check_name

GOOD = [
    "a",
    "sessions/42",
    "a b/c.d",
    ".hidden",
    "...",
    "été/☃",
    "$system/perspectives/x",
    "-",
    "a\\b",
    'it"s',
    "a?[b]",
    "#1",
]
BAD = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/.",
    "../a",
    "a/../b",
    "*",
    "a/*",
    "a*b",
    "a\nb",
    "\x00",
    "a\x7f",
    "a\x85b",
]


@pytest.mark.parametrize("name", GOOD)
def test_names_that_are(name: str) -> None:
    check_name(name)
    check_branch(name)
    assert Pattern.parse(name).exact == name


@pytest.mark.parametrize("name", [*BAD, "half\ud800", 7, None, b"a"])
def test_names_that_are_none(name: str) -> None:
    for check in (check_name, check_branch):
        with pytest.raises(InvalidName) as caught:
            check(name)
        assert caught.value.reason in caught.value.message
        caught.value.name.encode()


def test_length_is_counted_in_bytes() -> None:
    check_name("é" * 256)
    with pytest.raises(LimitExceeded) as caught:
        check_name("é" * 256 + "a")
    assert (caught.value.limit, caught.value.maximum, caught.value.actual) == ("name_bytes_max", 512, 513)
    check_name("a" * 10, name_bytes_max=10)
    with pytest.raises(LimitExceeded):
        Pattern.parse("a" * 8 + "/**", name_bytes_max=10)


@pytest.mark.parametrize("text", ["", "a//b", "/a", "a/", "a*", "**a", "a/***", "a/*b/c", "./*", "a/\n", "half\ud800"])
def test_patterns_that_are_none(text: str) -> None:
    with pytest.raises(InvalidName):
        Pattern.parse(text)


@pytest.mark.parametrize(
    ("text", "matching", "others"),
    [
        ("a/b", ["a/b"], ["a", "a/b/c", "a/bb"]),
        ("a/*", ["a/b", "a/b c"], ["a", "a/b/c", "b/a", "aa/b"]),
        ("*", ["a", "b"], ["a/b"]),
        ("**", ["a", "a/b", "a/b/c"], []),
        ("a/**", ["a/b", "a/b/c"], ["a", "aa/b", "b/a"]),
        ("*/b", ["a/b", "b/b"], ["b", "a/b/c", "a/a/b"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b", "a/b/b"], ["a", "b", "a/b/c", "x/a/b"]),
        ("**/b", ["b", "a/b", "a/a/b"], ["bb", "b/a"]),
        ("a/*/c/**", ["a/b/c/d", "a/b/c/d/e"], ["a/b/c", "a/c/d"]),
        ("**/*", ["a", "a/b"], []),
        ("**/**", ["a", "a/b"], []),
        ("a/**/**", ["a/b", "a/b/c"], ["a"]),
        ("*/**", ["a/b", "a/b/c"], ["a"]),
        ("*", ["system", "a$"], ["$system"]),
        ("**", ["a/$system"], ["$system", "$system/x"]),
        ("**/x", ["x", "a/x", "a/$b/x"], ["$system/x", "$x"]),
        ("*/x", ["a/x"], ["$system/x"]),
        ("$system/**", ["$system/a", "$system/a/b"], ["$system", "a/$system/a"]),
        ("$system/*", ["$system/a"], ["$other/a"]),
        ("a/*", ["a/$b"], ["$a/b"]),
        ("a/**/c/*/e", ["a/c/d/e", "a/c/c/d/e", "a/b/c/d/e"], ["a/c/e", "a/c/d/d/e"]),
    ],
)
def test_patterns(text: str, matching: list[str], others: list[str]) -> None:
    pattern = Pattern.parse(text)
    assert [name for name in matching + others if pattern.matches(name)] == matching
    assert all(name.startswith(pattern.prefix) for name in matching)


def test_prefix_and_exact() -> None:
    for text, prefix, exact in [
        ("a/b", "a/b", "a/b"),
        ("a/*", "a/", None),
        ("a/b/**/c", "a/b/", None),
        ("*", "", None),
    ]:
        pattern = Pattern.parse(text)
        assert (pattern.prefix, pattern.exact) == (prefix, exact)


def model_matches(pattern: list[str], name: list[str]) -> bool:
    if not pattern:
        return not name
    if pattern == ["**"]:
        return bool(name)
    if pattern[0] == "**":
        return any(model_matches(pattern[1:], name[start:]) for start in range(len(name) + 1))
    return bool(name) and pattern[0] in ("*", name[0]) and model_matches(pattern[1:], name[1:])


@given(
    st.lists(st.sampled_from(["*", "**", "a", "b", "$s"]), min_size=1, max_size=6),
    st.lists(st.sampled_from(["a", "b", "c", "$s"]), min_size=1, max_size=7),
)
def test_patterns_match_as_the_model_does(pattern: list[str], name: list[str]) -> None:
    found = Pattern.parse("/".join(pattern))
    hidden = pattern[0] in ("*", "**") and name[0] == "$s"
    assert found.matches("/".join(name)) == (model_matches(pattern, name) and not hidden)
    if found.matches("/".join(name)):
        assert "/".join(name).startswith(found.prefix)


def test_matching_does_not_blow_up() -> None:
    """A matcher that tries every way for every `**` would take longer than the sun has left."""
    pattern = Pattern.parse("/".join(["**/a"] * 60) + "/b")
    assert not pattern.matches("/".join(["a"] * 200))


def test_patterns_are_shared_and_compare_by_text() -> None:
    assert Pattern.parse("a/*") is Pattern.parse("a/*")
    assert Pattern("a/*") == Pattern.parse("a/*") != Pattern.parse("a/**")
    assert len({Pattern("a/*"), Pattern.parse("a/*")}) == 1
    assert repr(Pattern("a/*")) == "Pattern('a/*')"
