from __future__ import annotations

import json

import pytest

from palimpsest.cli.roles import grant_text, parse_allowance, parse_grant, role_lines
from palimpsest.errors import UsageError
from palimpsest.state.roles import Allowance, Grant, Role


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("notes/**:read", Grant(documents="notes/**", actions=("read",))),
        ("a:read,subscribe:public", Grant(documents="a", actions=("read", "subscribe"), perspective="public")),
        ("a:read:f@2", Grant(documents="a", actions=("read",), perspective="f", level=2)),
        ("c:/x:write", Grant(documents="c:/x", actions=("write",))),
        ("$system/**:admin", Grant(documents="$system/**", actions=("admin",))),
    ],
)
def test_a_grant_as_it_is_written(text: str, grant: Grant) -> None:
    assert parse_grant(text) == grant
    assert grant_text(grant) == [text]


@pytest.mark.parametrize("text", ["", "notes", ":read", "notes:fly", "notes:read,", "a:read:p@x", "a:read:a/b"])
def test_what_is_no_grant(text: str) -> None:
    with pytest.raises(UsageError):
        parse_grant(text)


def test_bounds_as_they_are_written() -> None:
    assert parse_allowance(["connections_max=3", "bytes_per_second_max=1_000"]) == Allowance(
        connections_max=3, bytes_per_second_max=1_000
    )
    for word in ("connections_max", "connections_max=", "connections_max=-1", "other=3"):
        with pytest.raises(UsageError):
            parse_allowance([word])


def test_a_role_for_people() -> None:
    role = Role(
        grants=(Grant(documents=("a", "b"), actions=("read",)),),
        limits=Allowance(connections_max=1_000),
        description="why",
    )
    assert [line.plain for line in role_lines("r", role)] == [
        "r  why",
        "    a:read",
        "    b:read",
        "    connections_max=1,000",
    ]


def test_roles_come_and_go(palimpsest) -> None:
    made = palimpsest(
        "role", "put", "reader", "--grant", "notes/**:read:public", "--limit", "connections_max=2", "-m", "why"
    )
    assert made.exit_code == 0, made.stderr
    shown = json.loads(palimpsest("role", "show", "reader", "--json").stdout)
    assert shown == {
        "name": "reader",
        "grants": [{"documents": "notes/**", "actions": ["read"], "perspective": "public"}],
        "limits": {"connections_max": 2},
        "description": "why",
    }
    assert palimpsest("role", "list").stdout.splitlines()[1] == "    notes/**:read:public"
    assert palimpsest("role", "put", "reader", "--grant", "notes").exit_code == 2
    assert palimpsest("role", "delete", "reader").exit_code == 0
    assert palimpsest("role", "show", "reader").exit_code == 3
