"""Where a subscription may start: the rules, which need nobody to be asked."""

from __future__ import annotations

from typing import Any

import pytest

from palimpsest.actors.starts import POLICIES, check_start, is_to_be_found
from palimpsest.errors import InvalidRequest
from palimpsest.protocol import messages as m
from palimpsest.state.names import Pattern


def check(pattern: str = "a", **fields: Any) -> None:
    check_start(m.Subscribe(1, 1, pattern, **fields), Pattern.parse(pattern))


STARTS: list[dict[str, Any]] = [{"resume_after": "c"}, {"snapshot": True}, {"from_version": 1}, {"from_time": 0}]


@pytest.mark.parametrize("start", [{}, *STARTS])
def test_one_start(start: dict[str, Any]) -> None:
    check(**start)


@pytest.mark.parametrize(
    "start", [{**one, **other} for at, one in enumerate(STARTS) for other in STARTS[at + 1 :]], ids=repr
)
def test_two_starts(start: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="one of them says where"):
        check(**start)


def test_a_version_is_of_one_document() -> None:
    with pytest.raises(InvalidRequest, match="not one document"):
        check("a/*", from_version=1)
    with pytest.raises(InvalidRequest, match="no version 0"):
        check(from_version=0)


def test_policies() -> None:
    for policy in POLICIES:
        check(policy=policy, values=True)
    with pytest.raises(InvalidRequest, match="none of the policies all, latest, disconnect"):
        check(policy="some")
    with pytest.raises(InvalidRequest, match="with whole values"):
        check(policy="latest")


@pytest.mark.parametrize("start", [{}, *STARTS])
def test_a_version_or_a_time_has_to_be_looked_for(start: dict[str, Any]) -> None:
    assert is_to_be_found(m.Subscribe(1, 1, "a", **start)) is bool(start.keys() & {"from_version", "from_time"})
