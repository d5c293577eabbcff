from __future__ import annotations

import msgspec
import pytest

from palimpsest import Delta
from palimpsest.errors import InvalidDelta, InvalidValue
from palimpsest.state import ops as state
from palimpsest.web import ops
from palimpsest.web.ops import NewOp, delta_of, ops_of

EVERY = (
    Delta()
    .set("a.b", {"x": None})
    .replace("a", 1)
    .delete('["odd.key"]')
    .increment("n", 2)
    .insert("tags", 0, "x")
    .append("tags", [1])
    .remove("tags", 3)
    .move("a", "b.0")
    .copy("a", "b")
    .test("", None)
    .absent("z")
    .splice("text", (0, 1, "ä"), (5, 0, "b"))
)


def test_that_every_op_goes_there_and_back() -> None:
    written = msgspec.json.encode(ops_of(EVERY))
    assert delta_of(msgspec.json.decode(written, type=list[NewOp])) == EVERY


def test_how_ops_are_written() -> None:
    assert msgspec.to_builtins(ops_of(EVERY))[2:8:5] == [
        {"op": "delete", "path": '["odd.key"]'},
        {"op": "move", "path": "b.0", "source": "a"},
    ]
    assert msgspec.to_builtins(ops_of(EVERY))[-1]["edits"][0] == {"offset": 0, "removed": 1, "inserted": "ä"}


def test_that_every_op_of_the_log_can_be_written() -> None:
    stored = {kind for kind in state.Op.__args__ if kind not in state.COMPILED}  # type: ignore[attr-defined]
    assert stored == set(ops._KINDS)


def test_that_an_erasure_is_shown_and_not_taken() -> None:
    [erase] = ops_of(Delta([state.Erase(("a", "*"))]))
    assert msgspec.to_builtins(erase) == {"op": "erase", "path": "a.*"}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode([erase]), type=list[NewOp])


def test_that_an_op_that_is_none_is_named_by_its_index() -> None:
    with pytest.raises(InvalidDelta) as failed:
        delta_of([ops.Delete("a"), ops.Delete("a..b")])
    assert (failed.value.op, failed.value.data["text"]) == (1, "a..b")
    with pytest.raises(InvalidDelta):
        delta_of([ops.Splice("a", (ops.Edit(5, 0, ""), ops.Edit(1, 0, "")))])
    with pytest.raises(InvalidValue):
        delta_of([ops.Set("a", float("inf"))])
