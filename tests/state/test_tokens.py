from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.errors import InvalidValue
from palimpsest.state import freeze
from palimpsest.state.roles import Allowance
from palimpsest.state.tokens import Token, digest_of, id_of, is_shown, make_id, make_token, parse_token, to_value

DIGEST = "0" * 64


def test_a_new_token_is_shown_by_its_text_alone() -> None:
    id, text, digest = make_token()
    token = Token(principal="ana", digest=digest)
    assert id_of(text) == id
    assert is_shown(text, token)
    assert not is_shown(text[:-1], token)
    assert not is_shown(digest, token)
    assert not is_shown(text, None)
    assert not is_shown(text, Token(principal="ana", certificate="c"))
    assert text not in repr(token)


def test_no_two_are_alike() -> None:
    made = [make_token() for _ in range(50)]
    assert len({id for id, _, _ in made}) == len({text for _, text, _ in made}) == 50
    assert all(len(text) == 4 + 12 + 1 + 64 for _, text, _ in made)
    assert make_id() != make_id()


@given(st.text())
def test_any_text_can_be_shown(text: str) -> None:
    assert id_of(text) is None
    assert not is_shown(text, None)
    assert not is_shown(text, Token(principal="a", digest=digest_of("other")))


def test_half_of_a_surrogate_pair_is_no_token() -> None:
    assert not is_shown("\ud800", None)


@pytest.mark.parametrize(
    "token",
    [
        Token(principal="ana", digest=DIGEST),
        Token(principal="ana", roles=("r",), certificate="host", created_at=1, expires_at=2, description="why"),
        Token(principal="ana", digest=DIGEST, limits=Allowance(subscriptions_max=3)),
    ],
)
def test_a_token_comes_back_as_it_was_put(token: Token) -> None:
    assert parse_token(freeze(to_value(token))) == token


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"principal": ""}, "principal"),
        ({"principal": 1}, ""),
        ({"roles": ["a/b"]}, "roles"),
        ({"roles": ["r"] * 101}, "roles"),
        ({"digest": "secret text"}, "digest"),
        ({"certificate": "both"}, "digest"),
        ({"digest": None}, "digest"),
        ({"digest": None, "certificate": ""}, "certificate"),
        ({"limits": {"connections_max": -1}}, "limits.connections_max"),
        ({"secret": "secret text"}, ""),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_repeated(said: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_token(freeze({"principal": "ana", "digest": DIGEST} | said))
    assert caught.value.path == path
    assert "secret text" not in str(caught.value)
