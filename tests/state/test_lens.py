"""What a lens shows, hears and lets through, by example."""

from __future__ import annotations

from typing import Any

import pytest

from palimpsest.errors import DeltaFailed, InvalidDelta, NotWritable, PalimpsestError, TestFailed
from palimpsest.state import freeze, ops, thaw
from palimpsest.state.json_patch import parse_patch
from palimpsest.state.lens import Lens, make_lens
from palimpsest.state.paths import parse_path
from palimpsest.state.perspectives import parse_perspective
from palimpsest.state.tree import NOTHING

PERSON: dict[str, Any] = {
    "name": "Ana",
    "card": "4111111111111111",
    "home": {"street": "Rua A", "city": "Porto"},
    "items": [{"sku": "a", "cost": 1}, {"cost": 2}, {"sku": "c"}],
    "tags": ["x", "y"],
    "notes": {"secret": 1},
}


def lens_of(**fields: Any) -> Lens:
    return make_lens({"p": parse_perspective("p", fields)}, "p")


def family_of(*levels: dict[str, Any]) -> dict[str, Any]:
    named = [(f"l{level}", {"family": "f", "level": level, **fields}) for level, fields in enumerate(levels, start=1)]
    return {name: parse_perspective(name, fields) for name, fields in named}


def seen(value: Any = PERSON, **fields: Any) -> Any:
    view = lens_of(**fields).view(freeze(value))
    return view if view is NOTHING else thaw(view)


# --- what is seen ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "view"),
    [
        ({}, {}),
        ({"include": ["name"]}, {"name": "Ana"}),
        ({"include": ["home.city", "nothing.at.all"]}, {"home": {"city": "Porto"}}),
        ({"include": ["home"], "exclude": ["home.city"]}, {"home": {"street": "Rua A"}}),
        ({"include": ["home"], "exclude": ["home.*"]}, {"home": {}}),
        ({"include": ["home.*"], "exclude": ["home.*"]}, {}),
        ({"include": ["home"], "exclude": ["home"]}, {}),
        ({"include": ["items.*.sku"]}, {"items": [{"sku": "a"}, None, {"sku": "c"}]}),
        ({"include": ["items.*.colour"]}, {}),
        ({"include": ["tags"], "exclude": ["tags.*"]}, {}),
        ({"include": ["items"], "exclude": ["items.*.cost"]}, {"items": [{"sku": "a"}, {}, {"sku": "c"}]}),
        ({"include": ["name"], "rename": {"name": "full_name"}}, {"full_name": "Ana"}),
        ({"include": ["name", "card"], "rename": {"name": "card"}}, {"card": "Ana"}),
        ({"include": ["name", "card"], "rename": {"other": "card"}}, {"name": "Ana"}),
        (
            {"include": ["name", "card"], "rename": {"name": "card", "card": "name"}},
            {"card": "Ana", "name": PERSON["card"]},
        ),
        ({"include": ["items.*.sku"], "rename": {"items.*.sku": "id"}}, {"items": [{"id": "a"}, None, {"id": "c"}]}),
        ({"include": ["card"], "mask": {"card": {"kind": "last"}}}, {"card": "***1111"}),
        (
            {"include": ["home"], "mask": {"home.*": {}, "home.city": {"value": 0}}},
            {"home": {"street": "***", "city": 0}},
        ),
        ({"include": ["home.city"], "mask": {"home": {}}}, {}),
        ({"include": ["name"], "mask": {"card": {}}}, {"name": "Ana"}),
        ({"include": ["name"], "compute": {"count": "length(items)"}}, {"name": "Ana", "count": 3}),
        ({"include": ["home.city"], "compute": {"home.city": "name"}}, {"home": {"city": "Ana"}}),
        ({"include": ["name", "card"], "compute": {"card": "nothing"}}, {"name": "Ana"}),
        ({"include": ["name"], "compute": {"name.first": "name"}}, {"name": "Ana"}),
        ({"compute": {"a.b.c": "name"}}, {"a": {"b": {"c": "Ana"}}}),
        ({"include": [""], "exclude": ["items", "tags", "notes", "home", "card"]}, {"name": "Ana"}),
        ({"include": [""], "mask": {"": {"value": None}}}, None),
    ],
)
def test_views(fields: dict[str, Any], view: Any) -> None:
    assert seen(**fields) == view


def test_values_that_are_no_maps() -> None:
    assert seen([1, 2], include=["*"]) == [1, 2]
    assert seen([1, 2], include=["a"]) is NOTHING
    assert seen("text", include=["a"]) is NOTHING
    assert seen("text", include=[""]) == "text"
    assert seen("text", include=["a"], compute={"a": "@"}) is NOTHING


def test_what_is_shown_whole_is_shared() -> None:
    value: Any = freeze(PERSON)
    assert lens_of(include=[""]).view(value) is value
    assert lens_of(include=[""], exclude=["phone"]).view(value) is value
    view = lens_of(include=["home", "tags"], exclude=["home.phone"]).view(value)
    assert view["home"] is value["home"]
    assert view["tags"] is value["tags"]


def test_a_level_shows_all_that_the_levels_below_it_show() -> None:
    family = family_of(
        {"include": ["name", "card"], "mask": {"card": {"kind": "last"}}, "exclude": ["home"]},
        {"include": ["home"], "mask": {"card": {}, "home.street": {}}, "compute": {"count": "length(tags)"}},
        {"include": ["card", "home"]},
    )
    views = [thaw(make_lens(family, "f", level).view(freeze(PERSON))) for level in (1, 2, 3)]
    assert views[0] == {"name": "Ana", "card": "***1111"}
    assert views[1] == {"name": "Ana", "card": "***1111", "home": {"street": "***", "city": "Porto"}, "count": 2}
    assert views[2] == {"name": "Ana", "card": PERSON["card"], "home": PERSON["home"], "count": 2}


def test_a_mask_stays_where_a_higher_level_shows_nothing_inside() -> None:
    family = family_of({"include": ["home"], "mask": {"home": {}}}, {"include": ["home.city"]})
    lens = make_lens(family, "f", 2)
    assert thaw(lens.view(freeze(PERSON)))["home"] == {"city": "Porto"}
    assert thaw(lens.view(freeze({"home": "a text"}))) == {"home": "***"}


def test_who_it_is_for() -> None:
    lens = lens_of(documents=["people/*", "staff/**"], read=["a"], write=["b"])
    assert [lens.is_for(name) for name in ("people/1", "people/1/x", "staff/a/b", "$system/x")] == [
        True,
        False,
        True,
        False,
    ]
    assert (lens.name, lens.level, lens.reads, lens.writes) == ("p", None, ("a",), ("b",))
    assert not lens_of().is_for("$system/roles/admin")


def test_the_digest_is_of_what_is_shown() -> None:
    one = lens_of(include=["a", "b"], mask={"a": {"kind": "last"}})
    assert len(one.digest) == 16
    assert one.digest == lens_of(include=["b", "a"], mask={"a": {"kind": "last"}}, read=["x"], description="y").digest
    others = [
        lens_of(include=["a"], mask={"a": {"kind": "last"}}),
        lens_of(include=["a", "b"], mask={"a": {"kind": "last", "characters": 3}}),
        lens_of(include=["a", "b"], mask={"a": {"kind": "last"}}, compute={"c": "a"}),
        lens_of(include=["a", "b"], mask={"a": {"kind": "last"}}, rename={"b": "c"}),
        lens_of(include=["a", "b"], mask={"a": {"kind": "last"}}, documents="x/*"),
        lens_of(include=["a", "b"], mask={"a": {"kind": "last"}}, exclude=["b"]),
    ]
    assert len({lens.digest for lens in [one, *others]}) == 7


# --- what concerns it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "op", "concerns"),
    [
        ({"include": ["name"]}, ops.Set(("name",), 1), True),
        ({"include": ["name"]}, ops.Set(("name", "first"), 1), True),
        ({"include": ["name"]}, ops.Set(("card",), 1), False),
        ({"include": ["name"]}, ops.Set((), {}), True),
        ({"include": ["name"]}, ops.Test(("name",), 1), False),
        ({"include": ["name"]}, ops.Copy(("name",), ("card",)), False),
        ({"include": ["name"]}, ops.Move(("name",), ("card",)), True),
        ({"include": ["name"]}, ops.Move(("card",), ("name",)), True),
        ({"include": ["name"]}, ops.MergePatch({"card": 1}), True),
        ({"include": ["name"]}, ops.Erase(("*", "x")), True),
        ({"include": ["name"]}, ops.Erase(("card", "*")), False),
        ({"include": ["items.*.sku"]}, ops.Set(("items", 0, "cost"), 1), False),
        ({"include": ["items.*.sku"]}, ops.Remove(("items",), 0), True),
        ({"include": ["items.*.sku"]}, ops.Move(("items", 0), ("first",)), True),
        ({"include": ["items"], "exclude": ["items.*.cost"]}, ops.Set(("items", 0, "cost"), 1), False),
        ({"include": ["items.*.sku"]}, ops.Move(("items", 0, "cost"), ("first",)), False),
        ({"include": ["home"], "exclude": ["home.city"]}, ops.Set(("home", "city"), 1), True),
        ({"include": ["home"], "exclude": ["home.city"]}, ops.Replace(("home", "city"), 1), False),
        ({"include": [""], "exclude": ["card"]}, ops.Set(("card",), 1), False),
        ({"include": ["card"], "mask": {"card": {}}}, ops.Set(("card", "x"), 1), True),
        ({"compute": {"n": "length(items)"}}, ops.Append(("items",), 1), True),
        ({"compute": {"n": "home.city"}}, ops.Set(("home", "street"), 1), False),
        ({"compute": {"n": "home.city"}}, ops.Delete(("home",)), True),
        ({"compute": {"n": "home.{c: city}"}}, ops.Set(("home", "street"), 1), True),
    ],
)
def test_concerns(fields: dict[str, Any], op: ops.Op, concerns: bool) -> None:
    assert lens_of(**fields).concerns([op]) is concerns
    assert lens_of(**fields).concerns([ops.Test((), 1), op]) is concerns


# --- places ----------------------------------------------------------------------------------------------------------

RENAMED = {
    "include": ["name", "items.*.sku", "card", "home"],
    "exclude": ["home.street"],
    "rename": {"name": "who", "items.*.sku": "id"},
    "mask": {"card": {}},
    "compute": {"count": "length(items)"},
    "writable": ["name", "items", "card", "home.city", "tags"],
}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", ""),
        ("name", "who"),
        ("name.first.0", "who.first.0"),
        ("items.3.sku", "items.3.id"),
        ("items.3.cost", None),
        ("items.3.id", None),
        ("who", None),
        ("card", "card"),
        ("card.x", None),
        ("count", None),
        ("home.street", None),
        ("home.city", "home.city"),
    ],
)
def test_where_the_view_has_it(path: str, place: str | None) -> None:
    assert lens_of(**RENAMED).place(parse_path(path)) == (None if place is None else parse_path(place))


def test_what_is_blamed() -> None:
    paths = [("name",), ("card",), ("items", 0, "sku"), ("items", 0, "cost"), ("home", "city"), ("home",), ("items",)]
    found = lens_of(**RENAMED).blamed((path, index) for index, path in enumerate(paths))
    assert found == [(("who",), 0), (("items", 0, "id"), 2), (("home", "city"), 4), (("home",), 5)]


@pytest.mark.parametrize(
    "path", ["", "name", "items", "items.0.cost", "card", "card.x", "count", "tags", "home", "home.street", "x"]
)
def test_what_cannot_be_written_through_it(path: str) -> None:
    lens = lens_of(**RENAMED)
    with pytest.raises(NotWritable) as caught:
        lens.source(parse_path(path))
    assert (caught.value.path, caught.value.perspective, caught.value.action) == (path, "p", "write")
    for value in (PERSON, {}, {"x": 1, "name": {"name": 1}}, {"home": 1}):
        with pytest.raises(NotWritable) as again:
            lens.written(freeze(value), [ops.Set(parse_path(path), 1)])
        assert again.value.to_wire() == caught.value.to_wire()


def test_where_the_document_has_it() -> None:
    lens = lens_of(**RENAMED)
    assert lens.source(("who",)) == ("name",)
    assert lens.source(("items", 0, "id", "x")) == ("items", 0, "sku", "x")
    assert lens.source(("home", "city")) == ("home", "city")
    assert lens_of(include=[""], writable=[""]).source(()) == ()


# --- what is written -------------------------------------------------------------------------------------------------


def written(*delta: ops.Op, value: Any = PERSON, fields: Any = RENAMED) -> Any:
    return lens_of(**fields).written(value if value is NOTHING else freeze(value), list(delta))


def refused(*delta: ops.Op, value: Any = PERSON, fields: Any = RENAMED) -> PalimpsestError:
    with pytest.raises(PalimpsestError) as caught:
        written(*delta, value=value, fields=fields)
    return caught.value


def test_names_are_mapped_and_tests_are_left_out() -> None:
    delta = [
        ops.Test(("who",), "Ana"),
        ops.Set(("who",), "Eva"),
        ops.Test(("who",), "Eva"),
        ops.Test(("card",), "***"),
        ops.Absent(("home", "street")),
        ops.Absent(("name",)),
        ops.Move(("items", 0, "id"), ("home", "city")),
        ops.Copy(("home", "city"), ("who",)),
    ]
    assert written(*delta) == [
        ops.Set(("name",), "Eva"),
        ops.Move(("items", 0, "sku"), ("home", "city")),
        ops.Copy(("home", "city"), ("name",)),
    ]


def test_tests_are_of_the_view() -> None:
    assert isinstance(refused(ops.Test(("card",), PERSON["card"])), TestFailed)
    hidden = refused(ops.Test(("home", "street"), "Rua A"))
    absent = refused(ops.Test(("home", "street"), "Rua A"), value={**PERSON, "home": {"city": "Porto"}})
    assert hidden.to_wire() == absent.to_wire()
    assert isinstance(refused(ops.Replace(("home", "city"), 1), value={"home": {}}), DeltaFailed)


def test_what_is_not_writable_is_said_first() -> None:
    error = refused(ops.Test(("who",), "no"), ops.Set(("card",), 1))
    assert isinstance(error, NotWritable)
    assert isinstance(refused(*parse_patch([{"op": "remove", "path": "/nothing"}])), NotWritable)


@pytest.mark.parametrize(
    "op",
    [
        ops.Copy(("card",), ("who",)),
        ops.Copy(("home",), ("who",)),
        ops.Copy(("home", "street"), ("who",)),
        ops.Copy(("count",), ("who",)),
        ops.Move(("tags", 0), ("who",)),
        ops.Move(("who",), ("items", 0)),
        ops.Append(("items",), {}),
        ops.Remove(("items",), 0),
        ops.Delete(("items", 0)),
        ops.Increment(("count",), 1),
        ops.Erase(("who",)),
        ops.MergePatch({"who": 1, "card": 2}),
        ops.MergePatch({"home": {}}),
        ops.MergePatch(1),
        ops.JsonPatch("add", "/items/-", 1),
        ops.JsonPatch("copy", "/who", None, "/card"),
        ops.JsonPatch("move", "/who", None, "/home"),
    ],
)
def test_is_refused(op: ops.Op) -> None:
    assert isinstance(refused(op), NotWritable)
    assert refused(op).to_wire() == refused(op, value={}).to_wire()


def test_what_is_in_the_way_and_hidden() -> None:
    error = refused(
        ops.Set(("home", "city"), "x"), value={"home": 5}, fields={"include": ["home.city"], "writable": ["home.city"]}
    )
    assert isinstance(error, NotWritable)
    assert error.path == "home.city"
    nothing = {"include": ["home.city"], "writable": ["home.city"]}
    assert written(ops.Delete(("home", "city")), value={"home": 5}, fields=nothing) == []


def test_patches_are_compiled_on_the_view() -> None:
    fields = {"include": ["tags", "m"], "rename": {"tags": "labels"}, "writable": ["tags", "m.*"]}
    assert written(ops.JsonPatch("add", "/labels/-", "z"), fields=fields) == [ops.Insert(("tags",), 2, "z")]
    assert written(ops.JsonPatch("test", "/labels/0", "x"), fields=fields) == []
    patch = ops.MergePatch({"labels": ["z"], "m": {"a": {"b": 1}, "c": None}})
    value = {**PERSON, "m": {"a": {"k": 2}, "c": 3}}
    assert written(patch, value=value, fields=fields) == [
        ops.Set(("tags",), ["z"]),
        ops.Set(("m", "a", "b"), 1),
        ops.Delete(("m", "c")),
    ]
    assert written(ops.MergePatch({"m": {"a": {"b": 1}, "c": None}}), value={}, fields=fields) == [
        ops.Set(("m", "a"), {"b": 1})
    ]
    assert written(ops.MergePatch({}), fields=fields) == []


def test_each_op_meets_what_the_ones_before_it_made() -> None:
    fields = {"include": ["tags"], "writable": ["tags"]}
    delta = [ops.Append(("tags",), 1), ops.MergePatch({"tags": {"a": 1}}), ops.Increment(("tags", "a"), 2)]
    assert written(*delta, fields=fields) == [
        ops.Append(("tags",), 1),
        ops.Set(("tags",), {"a": 1}),
        ops.Increment(("tags", "a"), 2),
    ]
    error = refused(*delta, ops.Append(("tags",), 1), fields=fields)
    assert (error.op, error.path, error.reason) == (3, "tags", "type")


# --- what is made ----------------------------------------------------------------------------------------------------

MADE = {
    "include": ["name", "home", "items.*.sku"],
    "exclude": ["home.street"],
    "rename": {"name": "who"},
    "compute": {"count": "`1`"},
    "writable": ["name", "home", "items.*.sku"],
}


def test_a_document_is_made_in_the_words_of_the_view() -> None:
    value = {"who": {"first": "Ana"}, "home": {"city": "Porto"}, "items": [{"sku": 1}]}
    (op,) = written(ops.Set((), value), value=NOTHING, fields=MADE)
    assert op == ops.Set((), {"name": {"first": "Ana"}, "home": {"city": "Porto"}, "items": [{"sku": 1}]})
    for empty in ({}, {"home": {}}):
        assert written(ops.Set((), empty), value=NOTHING, fields=MADE) == [ops.Set((), empty)]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"name": 1}, "name"),
        ({"home": {"street": 1}}, "home.street"),
        ({"items": [{"sku": 1}, None]}, "items.1"),
        ({"items": [{"cost": 1}]}, "items.0.cost"),
        ({"items": []}, "items"),
        ({"count": 1}, "count"),
        ([], ""),
        (1, ""),
    ],
)
def test_nothing_else_is_made(value: Any, path: str) -> None:
    error = refused(ops.Set((), value), value=NOTHING, fields=MADE)
    assert isinstance(error, NotWritable)
    assert error.path == path


def test_a_document_is_made_by_setting_it() -> None:
    assert isinstance(refused(ops.Set(("who",), 1), value=NOTHING, fields=MADE), InvalidDelta)
    assert isinstance(refused(ops.Set((), {}), value=NOTHING, fields={"include": ["a"]}), NotWritable)
