from __future__ import annotations

import pytest

from palimpsest.client.settings import Address, Settings, parse_url
from palimpsest.errors import InvalidRequest


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("palimpsest://127.0.0.1:7411", Address("127.0.0.1", 7411)),
        ("palimpsest://localhost:1/", Address("localhost", 1)),
        ("palimpsest://[::1]:7411", Address("::1", 7411)),
    ],
)
def test_addresses(url: str, address: Address) -> None:
    assert parse_url(url) == address
    assert parse_url(address.url) == address


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "no scheme"),
        ("127.0.0.1:7411", "scheme"),
        ("redis://127.0.0.1:7411", "'redis'"),
        ("palimpsest://", "no host"),
        ("palimpsest://:7411", "no host"),
        ("palimpsest://localhost", "no port"),
        ("palimpsest://localhost:0", "no port"),
        ("palimpsest://localhost:x", "x"),
        ("palimpsest://localhost:99999", "range"),
        ("palimpsest://[::1:7411", "Invalid IPv6"),
        ("palimpsest://localhost:7411/db", "after the port|follow the port"),
        ("palimpsest://localhost:7411?a=1", "follow the port"),
    ],
)
def test_what_is_wrong_with_an_address_is_named(url: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        parse_url(url)


def test_credentials_in_an_address_are_not_repeated() -> None:
    with pytest.raises(InvalidRequest, match="token") as caught:
        parse_url("palimpsest://me:secret@localhost:7411")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["timeout_seconds", "in_flight_requests_max", "credit_bytes", "page_items"])
@pytest.mark.parametrize("number", [0, -1, float("nan")])
def test_settings_are_positive(name: str, number: float) -> None:
    with pytest.raises(InvalidRequest, match=name):
        Settings(**{name: number})


def test_the_first_connection_may_be_tried_once() -> None:
    assert Settings(connect_seconds=0).connect_seconds == 0
    assert Settings().connect_seconds is None
    with pytest.raises(InvalidRequest):
        Settings(connect_seconds=-1)
