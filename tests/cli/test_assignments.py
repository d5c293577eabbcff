from __future__ import annotations

import pytest

from palimpsest.cli.assignments import parse_assignments, parse_json
from palimpsest.errors import InvalidDelta, InvalidPath, InvalidValue
from palimpsest.state.delta import Delta


@pytest.mark.parametrize(
    ("word", "delta"),
    [
        ('title="B"', Delta().set("title", "B")),
        ("title=B", Delta().set("title", "B")),
        ("title=two words, one = sign", Delta().set("title", "two words, one = sign")),
        ("title=", Delta().set("title", "")),
        ("meta.size=12", Delta().set(("meta", "size"), 12)),
        ("done=true", Delta().set("done", True)),
        ('done="true"', Delta().set("done", "true")),
        ("nothing=null", Delta().set("nothing", None)),
        ("nan=NaN", Delta().set("nan", "NaN")),
        ('meta={"a": [1, 2.5]}', Delta().set("meta", {"a": [1, 2.5]})),
        ("tags.0=x", Delta().set(("tags", 0), "x")),
        ("=[1]", Delta().set((), [1])),
        ('["a=b"].c=1', Delta().set(("a=b", "c"), 1)),
        ('["quote \\" here"]=1', Delta().set(('quote " here',), 1)),
        ('["ends+"]=1', Delta().set(("ends+",), 1)),
        ("stars+=1", Delta().increment("stars", 1)),
        ("stars+=-2.5", Delta().increment("stars", -2.5)),
        ("tags[]=x", Delta().append("tags", "x")),
        ('files["a.b"][]={"n": 1}', Delta().append(("files", "a.b"), {"n": 1})),
        ("[]=1", Delta().append((), 1)),
        ("draft-", Delta().delete("draft")),
        ('["a-"]-', Delta().delete(("a-",))),
    ],
)
def test_a_word_is_one_op(word: str, delta: Delta) -> None:
    assert parse_assignments([word]) == delta


def test_words_keep_their_order_and_deletions_come_last() -> None:
    delta = parse_assignments(["a=1", "b-", "c+=2"], ["a"])
    assert delta == Delta().set("a", 1).delete("b").increment("c", 2).delete("a")


@pytest.mark.parametrize("word", ["title", "", "-", "a.b"])
def test_what_is_no_change_is_refused_with_the_ways_to_write_one(word: str) -> None:
    with pytest.raises(InvalidDelta, match=r"path=value, path\+=number, path\[\]=value or path-"):
        parse_assignments([word])


@pytest.mark.parametrize("word", ['title="B', "meta={a: 1}", "tags=[1,"])
def test_broken_json_is_not_taken_for_a_string(word: str) -> None:
    with pytest.raises(InvalidValue, match="is not JSON"):
        parse_assignments([word])


@pytest.mark.parametrize("word", ["stars+=many", "stars+=true", 'stars+="1"'])
def test_only_numbers_are_added(word: str) -> None:
    with pytest.raises(InvalidValue, match="not a number"):
        parse_assignments([word])


def test_a_path_that_does_not_parse_is_refused() -> None:
    with pytest.raises(InvalidPath):
        parse_assignments(["a..b=1"])


def test_json_errors_say_which_text_it_was() -> None:
    assert parse_json('{"a": 1}', what="the value") == {"a": 1}
    with pytest.raises(InvalidValue, match="the merge patch is not JSON"):
        parse_json("{", what="the merge patch")
    with pytest.raises(InvalidValue, match="the value is not JSON"):
        parse_json("[" * 100_000, what="the value")
