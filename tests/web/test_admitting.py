from __future__ import annotations

import pytest

from palimpsest.errors import Unauthenticated
from palimpsest.web.admitting import host_of, is_loopback, token_of
from palimpsest.web.app import headers_of
from palimpsest.web.problems import Refused

NAMES = frozenset({"localhost", "gateway.example"})


def headers(*pairs: tuple[str, str], host: str = "localhost:7412") -> dict[str, str]:
    return headers_of([(name.lower().encode(), value.encode("latin-1")) for name, value in (("host", host), *pairs)])


def token(*pairs: tuple[str, str], host: str = "localhost:7412", peer: str | None = "127.0.0.1") -> str | None:
    return token_of(headers(*pairs, host=host), peer, NAMES)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "gateway.example", "10.0.0.7:80", "[::1]:7412", "127.0.0.1"]
)
def test_that_our_names_and_addresses_are_ours(host: str) -> None:
    assert token(host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "localhost.",
        "",
        "localhost:x",
        "a@localhost",
        "localhost/x",
        "[::1",
        "[x]",
    ],
)
def test_that_a_name_that_is_not_ours_is_turned_away_even_with_a_token(host: str) -> None:
    with pytest.raises(Refused) as refused:
        token(("Authorization", "Bearer x"), host=host)
    assert refused.value.answer.status == 421


def test_that_two_names_are_none() -> None:
    assert host_of(headers(("Host", "localhost"))) == ""
    assert host_of({}) == ""


def test_that_a_token_is_taken_from_anywhere() -> None:
    assert token(("Authorization", "bearer  abc "), peer="10.0.0.9") == "abc"
    assert token(("Authorization", "Bearer abc"), ("Sec-Fetch-Site", "cross-site")) == "abc"


@pytest.mark.parametrize("text", ["", "Bearer", "Bearer ", "Basic abc", "abc"])
def test_that_what_is_no_bearer_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated):
        token(("Authorization", text))


def test_that_two_tokens_are_none() -> None:
    with pytest.raises(Unauthenticated):
        token(("Authorization", "Bearer a"), ("Authorization", "Bearer b"))


@pytest.mark.parametrize("peer", [None, "10.0.0.9", "::ffff:10.0.0.9", "fe80::1%eth0", "host"])
def test_that_without_a_token_only_this_machine_asks(peer: str | None) -> None:
    with pytest.raises(Unauthenticated):
        token(peer=peer)


def test_which_addresses_are_of_this_machine() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1")))


@pytest.mark.parametrize(
    "pair",
    [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"),
        ("Origin", "http://localhost:7413"),
        ("Origin", "null"),
        ("Origin", ""),
    ],
)
def test_that_a_page_of_another_site_is_not_answered(pair: tuple[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        token(pair)


@pytest.mark.parametrize(
    "pairs",
    [
        [("Sec-Fetch-Site", "same-origin"), ("Origin", "http://localhost:7412")],
        [("Sec-Fetch-Site", "none")],
        [("Origin", "http://LOCALHOST:7412")],
    ],
)
def test_that_a_page_of_ours_is_answered(pairs: list[tuple[str, str]]) -> None:
    assert token(*pairs) is None
