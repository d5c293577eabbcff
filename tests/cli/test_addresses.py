from __future__ import annotations

import pytest

from palimpsest.cli.addresses import HostPort, parse_host_port


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:7412", HostPort("127.0.0.1", 7412)),
        ("localhost:0", HostPort("localhost", 0)),
        ("[::1]:65535", HostPort("::1", 65_535)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, found: HostPort) -> None:
    assert parse_host_port(text) == found
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    ["", "7412", ":7412", "host", "host:", "host:x", "host:65536", "::1:80", "[::1]", "[]:1", "a b:1", "http://a:1"],
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        parse_host_port(text)
