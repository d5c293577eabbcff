from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec import Raw

from palimpsest.client.results import Change, Document, Version
from palimpsest.errors import InvalidValue
from palimpsest.protocol import messages as m
from palimpsest.state.delta import Delta
from palimpsest.state.values import encode_value
from palimpsest.words import Kind, Parents

AT = 1_577_836_800_000_001
MOMENT = datetime(2020, 1, 1, 0, 0, 0, 1, UTC)
META = m.Meta("ana", "first", ("a", "b"))


def document(value: object, version: int = 3) -> Document:
    return Document(m.Document(7, "notes/1", "main", version, 1, AT, Raw(encode_value(value)), META))


def test_a_version() -> None:
    made = Version("notes/1", "main", 3, Kind.UPDATE, AT, META, "me:7")
    assert (made.at, made.by, made.description, made.tags) == (MOMENT, "ana", "first", {"a", "b"})
    assert made.delta is None
    assert repr(made) == "<Version 3 of 'notes/1' on 'main', update at 2020-01-01 00:00:00 by 'ana': 'first'>"
    assert made == Version("notes/1", "main", 3, Kind.UPDATE, AT, META, "me:7")


def test_a_version_of_which_nothing_was_said() -> None:
    made = Version("notes/1", "main", 3, Kind.DELETE, AT)
    assert (made.by, made.description, made.tags) == (None, None, frozenset())


def test_a_version_of_a_history_has_its_delta() -> None:
    delta = Delta().set("a", 1)
    assert Version("n", "main", 1, Kind.UPDATE, AT, encoded_delta=Raw(delta.encode())).delta == delta


def test_a_document() -> None:
    found = document({"a": [1]})
    assert (found.id, found.branch, found.version, found.kind, found.at) == ("notes/1", "main", 3, Kind.UPDATE, MOMENT)
    assert (found.by, found.description, found.tags) == ("ana", "first", {"a", "b"})
    assert found.value == {"a": [1]}
    assert found.value is found.value
    found.value["a"].append(2)
    assert found.copy_value() == {"a": [1]}


def test_documents_compare_by_version_and_value() -> None:
    assert document({"a": 1}) == document({"a": 1})
    assert document({"a": 1}) != document({"a": 2})
    assert document({"a": 1}) != document({"a": 1}, version=4)
    with pytest.raises(TypeError):
        hash(document(None))


def test_a_value_that_does_not_decode_is_an_error_when_it_is_asked_for() -> None:
    found = Document(m.Document(7, "notes/1", "main", 3, 1, AT, Raw(b"\xc1"), None))
    with pytest.raises(InvalidValue):
        _ = found.value


def test_a_change() -> None:
    message = m.Change((1,), 255, "n", "main", 2, 2, AT, Raw(b"\x90"), None, 4)
    change = Change(message, "0123456789abcdef")
    assert (change.document, change.version, change.kind, change.at, change.more) == ("n", 2, Kind.DELETE, MOMENT, 4)
    assert change.cursor == "10123456789abcdef.ff"
    assert len(change.delta) == 0
    assert change.value is None
    assert change.parents is None


def test_a_change_that_takes_others_in() -> None:
    parents = Parents(None, (("draft", 9),))
    message = m.Change((1,), 255, "n", "main", 12, 1, AT, Raw(b"\x90"), parents=parents)
    assert Change(message, "0123456789abcdef").parents == parents
