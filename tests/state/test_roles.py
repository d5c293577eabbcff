from __future__ import annotations

from typing import Any

import pytest

from palimpsest.errors import InvalidValue
from palimpsest.state import freeze
from palimpsest.state.roles import Allowance, Grant, Role, larger, parse_role, to_value


@pytest.mark.parametrize(
    "role",
    [
        Role(),
        Role(grants=(Grant(documents="notes/**", actions=("read", "write")),), description="why"),
        Role(grants=(Grant(documents=("a", "b/*"), actions=("subscribe",), perspective="f", level=2),)),
        Role(grants=(Grant(documents="$system/**", actions=("admin",)),), limits=Allowance(connections_max=3)),
    ],
)
def test_a_role_comes_back_as_it_was_put(role: Role) -> None:
    assert parse_role(freeze(to_value(role))) == role


def grant(**said: Any) -> dict[str, Any]:
    return {"grants": [{"documents": "a", "actions": ["read"]} | said]}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (None, ""),
        ([], ""),
        ({"grant": []}, ""),
        (grant(documents=1), ""),
        (grant(documents="a**"), "grants.0.documents"),
        (grant(documents=[]), "grants.0.documents"),
        (grant(actions=[]), "grants.0.actions"),
        (grant(actions=["fly"]), "grants.0.actions"),
        (grant(level=1), "grants.0.level"),
        (grant(perspective=""), "grants.0.perspective"),
        (grant(perspective="a/b"), "grants.0.perspective"),
        (grant(perspective="p", actions=["merge"]), "grants.0.actions"),
        (grant(perspective="p", actions=["admin"]), "grants.0.actions"),
        ({"limits": {"connections_max": 0}}, "limits.connections_max"),
        ({"limits": {"unknown": 1}}, ""),
        ({"grants": [grant()["grants"][0]] * 1_001}, "grants"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is(value: Any, path: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_role(freeze(value))
    assert caught.value.path == path


def test_the_larger_of_two_bounds() -> None:
    one, other = Allowance(connections_max=1, subscriptions_max=9), Allowance(connections_max=2)
    assert larger(one, other) == Allowance(connections_max=2, subscriptions_max=9)
    assert larger(Allowance(), Allowance()) == Allowance()
