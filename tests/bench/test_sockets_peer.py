from bench.peer import PALIMPSEST, REDIS
from bench.results import Goal, compare
from bench.sockets_peer import SOCKETS, sockets_figures

_TURN = {"per_second": 10.0, "p50_us": 1.0, "p99_us": 2.0}


def test_the_floor_stands_beside_what_is_compared() -> None:
    rounds = {PALIMPSEST: [_TURN], REDIS: [_TURN], SOCKETS: [_TURN | {"per_second": 80.0}]}
    comparison = compare("feeds", "feeds_alone", "deliveries", "per_second", Goal("at_least", 3), rounds)
    assert comparison.ratio == 1.0
    (figure,) = sockets_figures([comparison])
    assert (figure.key, figure.value) == ("feeds_alone_sockets", 80.0)


def test_without_a_floor_nothing_is_said_of_it() -> None:
    comparison = compare("feeds", "feeds_alone", "deliveries", "per_second", None, {PALIMPSEST: [_TURN]})
    assert sockets_figures([comparison]) == []
