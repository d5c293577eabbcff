from __future__ import annotations

import pytest

from palimpsest.web.conditions import Condition, condition_of, expect_of, is_known, request_id_of, tag_of
from palimpsest.web.problems import Refused


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({}, Condition()),
        ({"if-match": '"7"'}, Condition(expect=7, exists=True)),
        ({"if-match": ' "7.0af3" '}, Condition(expect=7, exists=True)),
        ({"if-match": "*"}, Condition(exists=True)),
        ({"if-none-match": "*"}, Condition(is_new=True)),
    ],
)
def test_condition_of(headers: dict[str, str], condition: Condition) -> None:
    assert condition_of(headers) == condition


@pytest.mark.parametrize(
    "text", ["", "7", '"7', 'W/"7"', '"7","8"', '"-1"', '"0"', '"07"', '"7.x"', '"٧"', '"9223372036854775808"']
)
def test_that_no_other_tag_is_a_version(text: str) -> None:
    with pytest.raises(Refused) as refused:
        condition_of({"if-match": text})
    assert refused.value.answer.status == 400


def test_that_only_a_put_is_for_what_is_new() -> None:
    assert expect_of({"if-match": '"3"'}) == 3
    assert expect_of({"if-match": "*"}) is None
    with pytest.raises(Refused):
        expect_of({"if-none-match": "*"})


def test_that_a_tag_is_found_again_whatever_it_is_of() -> None:
    for tag in (tag_of(7), tag_of(7, b"seen")):
        assert condition_of({"if-match": tag}).expect == 7
        assert is_known({"if-none-match": tag}, tag)
        assert is_known({"if-none-match": f'"x,y", W/{tag}'}, tag)
    assert tag_of(7, b"seen") != tag_of(7, b"other")
    assert not is_known({}, tag_of(7))
    assert not is_known({"if-none-match": '"70"'}, tag_of(7))
    assert not is_known({"if-none-match": "7"}, tag_of(7))


def test_request_id_of() -> None:
    assert request_id_of({}) is None
    assert request_id_of({"idempotency-key": "a-1"}) == "a-1"
    for text in ("", "a b", "ä", "x" * 257):
        with pytest.raises(Refused):
            request_id_of({"idempotency-key": text})
