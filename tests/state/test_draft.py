"""Every op, every way that it fits, every way that it does not, and what is said then."""

from __future__ import annotations

from typing import Any

import pytest

from palimpsest.errors import DeltaFailed, TestFailed
from palimpsest.state import apply_delta, encode_value, freeze, ops

VALUE: dict[str, Any] = {
    "n": 1,
    "f": 0.5,
    "t": "text",
    "b": True,
    "z": None,
    "l": [1, 2, 3],
    "m": {"k": {"x": 1}, "0": "zero"},
    "deep": [{"l": [[]]}],
}


def changed(**top: Any) -> dict[str, Any]:
    return {key: value for key, value in (VALUE | top).items() if value is not ...}


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ops.Set(("n",), [1]), changed(n=[1])),
        (ops.Set(("new",), None), changed(new=None)),
        (ops.Set(("m", "k", "x"), 2), changed(m={"k": {"x": 2}, "0": "zero"})),
        (ops.Set(("p", "q", "r"), 1), changed(p={"q": {"r": 1}})),
        (ops.Set(("l", 2), 9), changed(l=[1, 2, 9])),
        (ops.Set(("deep", 0, "l", 0), 7), changed(deep=[{"l": [7]}])),
        (ops.Set(("deep", 0, "new", "x"), 7), changed(deep=[{"l": [[]], "new": {"x": 7}}])),
        (ops.Set((), "all"), "all"),
        (ops.Replace(("z",), 0), changed(z=0)),
        (ops.Replace(("l", 0), 0), changed(l=[0, 2, 3])),
        (ops.Replace((), {}), {}),
        (ops.Delete(("n",)), changed(n=...)),
        (ops.Delete(("m", "k", "x")), changed(m={"k": {}, "0": "zero"})),
        (ops.Delete(("no",)), VALUE),
        (ops.Delete(("no", "such", 0, "x")), VALUE),
        (ops.Delete(("l", 7, "x")), VALUE),
        (ops.Delete(("deep", 0, "l")), changed(deep=[{}])),
        (ops.Increment(("n",), 2), changed(n=3)),
        (ops.Increment(("n",), 0.5), changed(n=1.5)),
        (ops.Increment(("f",), 1), changed(f=1.5)),
        (ops.Increment(("f",), 0.5), changed(f=1.0)),
        (ops.Increment(("new",), 5), changed(new=5)),
        (ops.Increment(("new",), 0.5), changed(new=0.5)),
        (ops.Increment(("p", "q"), -1), changed(p={"q": -1})),
        (ops.Increment(("l", 0), 1), changed(l=[2, 2, 3])),
        (ops.Increment(("m", "k", "x"), 2**64 - 2), changed(m={"k": {"x": 2**64 - 1}, "0": "zero"})),
        (ops.Insert(("l",), 0, 0), changed(l=[0, 1, 2, 3])),
        (ops.Insert(("l",), 3, 4), changed(l=[1, 2, 3, 4])),
        (ops.Insert(("deep", 0, "l", 0), 0, {"a": []}), changed(deep=[{"l": [[{"a": []}]]}])),
        (ops.Append(("l",), [4]), changed(l=[1, 2, 3, [4]])),
        (ops.Remove(("l",), 1), changed(l=[1, 3])),
        (ops.Remove(("deep",), 0), changed(deep=[])),
        (ops.Move(("n",), ("m", "n")), changed(n=..., m={"k": {"x": 1}, "0": "zero", "n": 1})),
        (ops.Move(("n",), ("p", "q")), changed(n=..., p={"q": 1})),
        (ops.Move(("n",), ("f",)), changed(n=..., f=1)),
        (ops.Move(("n",), ("l", 1)), changed(n=..., l=[1, 1, 2, 3])),
        (ops.Move(("l", 0), ("l", 2)), changed(l=[2, 3, 1])),
        (ops.Move(("l", 2), ("n",)), changed(l=[1, 2], n=3)),
        (ops.Move(("m", "k"), ("m",)), changed(m={"x": 1})),
        (ops.Move(("m",), ()), VALUE["m"]),
        (ops.Move((), ()), VALUE),
        (ops.Copy(("m", "k"), ("k",)), changed(k={"x": 1})),
        (ops.Copy(("m",), ("m", "m")), changed(m=VALUE["m"] | {"m": VALUE["m"]})),
        (ops.Copy((), ("n",)), changed(n=VALUE)),
        (ops.Copy(("l",), ("l", 3)), changed(l=[1, 2, 3, [1, 2, 3]])),
        (ops.Test(("n",), 1.0), VALUE),
        (ops.Test((), VALUE), VALUE),
        (ops.Test(("z",), None), VALUE),
        (ops.Splice(("t",), (ops.Edit(0, 1, "T"), ops.Edit(2, 2, ""), ops.Edit(4, 0, "☃"))), changed(t="Te☃")),
        (ops.Splice(("t",), ()), VALUE),
        (ops.Splice(("m", "0"), (ops.Edit(4, 0, "!"),)), changed(m={"k": {"x": 1}, "0": "zero!"})),
        (ops.Erase(("n",)), changed(n=...)),
        (ops.Erase(("m", "*", "x")), changed(m={"k": {}, "0": "zero"})),
        (ops.Erase(("l", "*")), changed(l=[None, None, None])),
        (ops.Erase(("deep", 0, "l")), changed(deep=[{}])),
        (ops.Erase(("no", "such")), VALUE),
        (ops.Erase(("l", 3)), VALUE),
        (ops.Absent(("no",)), VALUE),
        (ops.Absent(("no", "such")), VALUE),
        (ops.Absent(("l", 3)), VALUE),
        (ops.Absent(("t", "x")), VALUE),
    ],
    ids=repr,
)
def test_what_fits(op: ops.Op, expected: Any) -> None:
    assert encode_value(apply_delta(freeze(VALUE), [op])) == encode_value(expected)


@pytest.mark.parametrize(
    ("op", "reason", "said"),
    [
        (ops.Set(("l", 3), 1), "index", r"op 1 \(set l\.3\): the list at `l` has 3 elements, so there is no 3"),
        (ops.Set(("p", 0), 1), "absent", "missing parents are made as maps"),
        (ops.Set(("m", 0), 1), "type", r'`m` is a map, which has keys and no index 0; the key is written `m\["0"\]`'),
        (ops.Set((0,), 1), "type", r'the root is a map, which has keys and no index 0; the key is written `\["0"\]`'),
        (ops.Set(("l", "k"), 1), "type", "`l` is a list, which has indexes and no keys"),
        (ops.Set(("t", "k"), 1), "type", "`t` is a string, which has nothing inside"),
        (ops.Set(("z", "k"), 1), "type", "`z` is null"),
        (ops.Set(("b", "k", "j"), 1), "type", "`b` is a boolean"),
        (ops.Replace(("no",), 1), "absent", "there is nothing at `no`"),
        (ops.Replace(("m", "no", "x"), 1), "absent", "there is nothing at `m.no`"),
        (ops.Replace(("l", 3), 1), "index", "no 3"),
        (ops.Delete(()), "type", "the root cannot be deleted"),
        (ops.Delete(("l", 0)), "type", "`l.0` is a list element, which `remove` takes out"),
        (ops.Delete(("l", 9)), "type", "`remove`"),
        (ops.Delete(("t", "x")), "type", "`t` is a string"),
        (ops.Delete(("m", 0)), "type", "has keys and no index"),
        (ops.Increment(("t",), 1), "type", "a string, not a number"),
        (ops.Increment(("b",), 1), "type", "a boolean, not a number"),
        (ops.Increment(("z",), 1), "type", "null, not a number"),
        (ops.Increment(("m",), 1), "type", "a map, not a number"),
        (ops.Increment(("n",), 2**64 - 1), "range", "outside of -2\\^63 to 2\\^64-1"),
        (ops.Increment(("big",), 1e308), "range", "not finite"),
        (ops.Increment(("l", 3), 1), "index", "no 3"),
        (ops.Increment(("l", "x"), 1), "type", "`l` is a list"),
        (ops.Insert(("l",), 4, 1), "index", "has 3 elements, so nothing goes before 4"),
        (ops.Insert(("no",), 0, 1), "absent", "nothing at `no`"),
        (ops.Insert(("m",), 0, 1), "type", "`m` is a map, not a list"),
        (ops.Append(("no",), 1), "absent", "nothing at `no`"),
        (ops.Append(("t",), 1), "type", "`t` is a string, not a list"),
        (ops.Append((), 1), "type", "the root is a map, not a list"),
        (ops.Remove(("l",), 3), "index", "has 3 elements, so there is no 3"),
        (ops.Remove(("no",), 0), "absent", "nothing at `no`"),
        (ops.Remove(("m",), 0), "type", "not a list"),
        (ops.Move(("m",), ("m", "k")), "move_into_itself", "`m.k` lies inside of `m`"),
        (ops.Move((), ("m",)), "move_into_itself", "inside of the root"),
        (ops.Move(("n",), ("l", 4)), "index", "nothing goes before 4"),
        (ops.Move(("n",), ("t", "x")), "type", "`t` is a string"),
        (ops.Move(("n",), ("no", 0)), "absent", "nothing at `no`"),
        (ops.Copy(("n",), ("l", 5)), "index", "nothing goes before 5"),
        (ops.Splice(("t",), (ops.Edit(3, 2, ""),)), "range", "the text has 4 characters, and an edit reaches to 5"),
        (ops.Splice(("t",), (ops.Edit(2, 0, ""), ops.Edit(1, 0, ""))), "range", "an edit at 1 lies before the end"),
        (ops.Splice(("n",), ()), "type", "what is there is a number, not a string"),
        (ops.Splice(("no",), ()), "absent", "nothing at `no`"),
        (ops.Splice(("l", 3), ()), "index", "no 3"),
        (ops.Erase(()), "type", "a whole document is erased with its history"),
        (ops.Test(("n",), 2), "test", "the value there is another one"),
        (ops.Test(("b",), 1), "test", "another one"),
        (ops.Test(("no",), None), "absent", "nothing at `no`"),
        (ops.Test(("l", 3), None), "index", "no 3"),
        (ops.Test(("t", "x"), None), "type", "`t` is a string"),
        (ops.Absent(("z",)), "present", "there is something"),
        (ops.Absent(()), "present", "there is something"),
    ],
    ids=repr,
)
def test_what_does_not(op: ops.Op, reason: str, said: str) -> None:
    with pytest.raises(DeltaFailed, match=said) as caught:
        apply_delta(freeze(VALUE), [ops.Set(("big",), 1.7e308), op])
    assert (caught.value.op, caught.value.reason) == (1, reason)
    assert isinstance(caught.value, TestFailed) == isinstance(op, ops.Test | ops.Absent)


@pytest.mark.parametrize("kind", [ops.Move, ops.Copy])
@pytest.mark.parametrize(
    ("source", "reason", "path"), [(("no",), "absent", "no"), (("l", 3), "index", "l.3"), (("t", 0), "type", "t.0")]
)
def test_a_source_that_is_not_there_is_the_path_in_question(kind: Any, source: Any, reason: str, path: str) -> None:
    with pytest.raises(DeltaFailed) as caught:
        apply_delta(freeze(VALUE), [kind(source, ("new",))])
    assert (caught.value.reason, caught.value.path) == (reason, path)


def test_an_open_list_is_closed_before_a_text_in_it_is_edited() -> None:
    delta = [ops.Insert(("l",), 0, "text"), ops.Splice(("l", 0), (ops.Edit(0, 4, "word"),)), ops.Append(("l",), 4)]
    assert apply_delta(freeze(VALUE), delta) == freeze(changed(l=["word", 1, 2, 3, 4]))
    assert apply_delta(freeze(VALUE), [delta[0], ops.Erase(("l", 1))]) == freeze(changed(l=["text", None, 2, 3]))


def test_messages_do_not_show_values() -> None:
    secret = "secret value"
    for op in [ops.Test(("s",), 1), ops.Increment(("s",), 1), ops.Set(("s", "x"), 1), ops.Absent(("s",))]:
        with pytest.raises(DeltaFailed) as caught:
            apply_delta(freeze({"s": secret}), [op])
        assert secret not in str(caught.value.to_wire())


@pytest.mark.parametrize(("value", "by"), [(-(2**63), -1), (0, -(2**63)), (2**64 - 1, 0), (-(2**63), 2**64 - 1)])
def test_increments_at_the_ends_of_the_range(value: int, by: int) -> None:
    delta = [ops.Increment(("n",), by)]
    if -(2**63) <= value + by < 2**64:
        assert apply_delta(freeze({"n": value}), delta) == freeze({"n": value + by})
    else:
        with pytest.raises(DeltaFailed) as caught:
            apply_delta(freeze({"n": value}), delta)
        assert caught.value.reason == "range"
