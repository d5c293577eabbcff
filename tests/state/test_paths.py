from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.errors import InvalidPath
from palimpsest.state.paths import INDEX_MAX, check_path, format_path, parse_path

ODD = st.text(st.sampled_from('ab0.[]"\\ \n\t\x00\x7f\u2028é☃_-'), max_size=6)
STEPS = st.one_of(ODD, st.text(max_size=5), st.integers(0, INDEX_MAX), st.integers(0, 9).map(str))


@given(st.lists(STEPS, max_size=6).map(tuple))
def test_every_path_can_be_written_and_read(path: tuple[str | int, ...]) -> None:
    text = format_path(path)
    read = parse_path(text)
    assert read == path
    assert [type(step) for step in read] == [type(step) for step in path]


@given(st.one_of(ODD, st.text(st.sampled_from('a0.[]" \\'), max_size=12)))
def test_any_text_is_a_path_or_an_error(text: str) -> None:
    try:
        path = parse_path(text)
    except InvalidPath as error:
        found = error
    else:
        assert parse_path(format_path(path)) == path
        return
    assert found.text == text
    assert 0 <= found.offset <= len(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("a", ("a",)),
        ("meta.tags.0", ("meta", "tags", 0)),
        ("0", (0,)),
        ('["0"]', ("0",)),
        ('["odd.key"]', ("odd.key",)),
        ('files["README.md"].size', ("files", "README.md", "size")),
        ('a["b"]["c"].0', ("a", "b", "c", 0)),
        ('[""]', ("",)),
        ('["say \\"hi\\"\\n"]', ('say "hi"\n',)),
        ('["\\u00e9"]', ("é",)),
        ("é.snow☃", ("é", "snow☃")),
        ("a-b.c_d.$e.1a", ("a-b", "c_d", "$e", "1a")),
        (f"{INDEX_MAX}", (INDEX_MAX,)),
        ("²", ("²",)),
    ],
)
def test_table(text: str, path: tuple[str | int, ...]) -> None:
    assert parse_path(text) == path
    assert parse_path(format_path(path)) == path


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        (".", 0),
        (".a", 0),
        ("a.", 2),
        ("a..b", 2),
        ("a[0]", 2),
        ("[0]", 0),
        ('["a"', 0),
        ('["a"]b', 5),
        ('a.["b"]', 2),
        ("a b", 1),
        ('a"b', 1),
        ("a]", 1),
        ("a.007", 2),
        (str(INDEX_MAX + 1), 0),
        ("9" * 5000, 0),
        ('["\\q"]', 1),
        ('["\\ud800"]', 1),
        ("\ud800", 0),
        ("\x00", 0),
        ("'a'[", 3),
    ],
)
def test_what_does_not_parse(text: str, offset: int) -> None:
    with pytest.raises(InvalidPath) as caught:
        parse_path(text)
    if text != "a[0]":
        assert caught.value.offset == offset
    caught.value.text.encode()
    caught.value.message.encode()


def test_an_index_in_brackets_is_explained() -> None:
    with pytest.raises(InvalidPath, match=r"an index is written \.0"):
        parse_path("[0]")


def test_check_path_takes_tuples_of_keys_and_indexes() -> None:
    for path in [(), ("a", 0), ("é", INDEX_MAX)]:
        assert check_path(path) is path
    for path in ["a", ["a"], ("a", -1), ("a", True), ("a", 1.0), ("a", None), ("\ud800",), (INDEX_MAX + 1,)]:
        with pytest.raises(InvalidPath):
            check_path(path)
