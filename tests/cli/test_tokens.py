from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from palimpsest.cli.tokens import token_line
from palimpsest.client import TokenInfo
from palimpsest.state.roles import Allowance


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({}, "0a  ana  no role"),
        ({"roles": ("a", "b"), "description": "why"}, "0a  ana  a, b  why"),
        ({"certificate": "host"}, "0a  ana  no role  by the certificate of host"),
    ],
    ids=str,
)
def test_a_token_for_people(said: dict[str, object], line: str) -> None:
    assert token_line(info(**said)).plain == line


def test_a_token_that_has_ended_says_so() -> None:
    assert "  ended 2020-01-0" in token_line(info(expires_at=datetime(2020, 1, 2, tzinfo=UTC))).plain
    assert "  until 2999-01-0" in token_line(info(expires_at=datetime(2999, 1, 2, tzinfo=UTC))).plain


def info(**said: object) -> TokenInfo:
    common = {"id": "0a", "principal": "ana", "roles": (), "certificate": None, "expires_at": None, "description": ""}
    return TokenInfo(created_at=datetime(2020, 1, 1, tzinfo=UTC), limits=Allowance(), **(common | said))  # type: ignore[arg-type]


def test_a_server_is_closed_and_opened(palimpsest) -> None:
    assert palimpsest("token", "create", "ana").exit_code == 2  # it has no role
    assert palimpsest("token", "create", "ana", "--role", "reader").exit_code == 2  # the first needs admin
    made = palimpsest("token", "create", "ana", "--role", "admin")
    assert made.exit_code == 0, made.stderr
    text = made.stdout.strip()
    assert text.startswith("pal_")
    assert palimpsest("get", "notes/1").exit_code == 10
    assert palimpsest("--token", text, "set", "notes/1", "1").exit_code == 0

    other = palimpsest("--token", text, "token", "create", "bo", "--role", "none", "--expires", "30d", "--json")
    said = json.loads(other.stdout)
    assert (said["principal"], said["roles"]) == ("bo", ["none"])
    assert palimpsest("--token", said["token"], "get", "notes/1").exit_code == 10
    listed = palimpsest("--token", text, "token", "list", "--json").stdout.splitlines()
    assert {json.loads(line)["principal"] for line in listed} == {"ana", "bo"}
    assert text.rpartition("_")[2] not in "".join(listed)
    assert "until" in palimpsest("--token", text, "token", "list").stdout
    assert palimpsest("--token", text, "token", "revoke", said["id"], "--by", "ana").exit_code == 0
    assert palimpsest("--token", text, "token", "revoke", text.split("_")[1]).exit_code == 2
    assert palimpsest("--token", text, "token", "revoke", text.split("_")[1], "--last").exit_code == 0
    assert palimpsest("get", "notes/1").exit_code == 0


def test_a_key_goes_with_a_certificate(palimpsest) -> None:
    refused = palimpsest("--key", "key.pem", "get", "notes/1")
    assert refused.exit_code == 2
    assert "--cert" in refused.stderr
    assert palimpsest("--cert", "missing.pem", "get", "notes/1").exit_code == 2
