from __future__ import annotations

from typing import Any

import pytest

from palimpsest.errors import InvalidName, InvalidValue
from palimpsest.state import freeze
from palimpsest.state.system import check_system


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
