"""What comes first, where keys change: held against a dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palimpsest.actors.agenda import Agenda

names = st.sampled_from("abcdef")


def of(keys: dict[str, int]) -> Agenda[int]:
    return Agenda(keys.get)


def test_nothing_is_to_come() -> None:
    agenda = of({})
    assert agenda.first() is None
    assert agenda.names() == set()


def test_the_lowest_comes_first_and_stays() -> None:
    keys = {"a": 3, "b": 1}
    agenda = of(keys)
    for name, key in keys.items():
        agenda.put(key, name)
    assert agenda.first() == agenda.first() == (1, "b")


def test_a_name_that_moves_is_where_it_is_now() -> None:
    keys = {"a": 1, "b": 2}
    agenda = of(keys)
    for name, key in keys.items():
        agenda.put(key, name)
    keys["a"] = 3
    agenda.put(3, "a")
    assert agenda.first() == (2, "b")
    del keys["b"]
    assert agenda.first() == (3, "a")
    assert agenda.names() == {"a"}


def test_what_is_taken_does_not_come_again() -> None:
    keys = {"a": 1, "b": 2}
    agenda = of(keys)
    for name, key in keys.items():
        agenda.put(key, name)
    assert agenda.first() == (1, "a")
    del keys["a"]
    agenda.drop_first()
    assert agenda.entries == [(2, "b")]


@given(st.lists(st.tuples(names, st.one_of(st.none(), st.integers(0, 9))), max_size=300))
def test_it_says_what_a_dict_does(moves: list[tuple[str, int | None]]) -> None:
    keys: dict[str, int] = {}
    agenda = of(keys)
    for name, key in moves:
        if key is None:
            keys.pop(name, None)
        else:
            keys[name] = key
            agenda.put(key, name)
        assert agenda.first() == min(((key, name) for name, key in keys.items()), default=None)
        assert agenda.names() == keys.keys()


def test_what_is_no_longer_so_does_not_pile_up() -> None:
    keys = {"first": 0}
    agenda = of(keys)
    agenda.put(0, "first")
    for key in range(1, 10_000):  # none of them comes to the front, where it would be dropped
        keys["other"] = key
        agenda.put(key, "other")
        assert len(agenda.entries) < 100
    assert agenda.names() == {"first", "other"}
