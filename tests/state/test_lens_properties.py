"""Lenses against a projection that looks at each path on its own."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from perspective_strategies import GONE, Naive, changed, perspectives, scalars
from state_strategies import any_op, documents, model_apply_fitting, paths_about, paths_in, plain_maps, plain_values

from palimpsest.errors import InvalidPerspective, NotWritable, PalimpsestError
from palimpsest.state import apply_delta, diff, encode_value, freeze, ops, thaw
from palimpsest.state.json_patch import format_pointer
from palimpsest.state.lens import Lens, make_lens
from palimpsest.state.masks import masking
from palimpsest.state.perspectives import Perspective, check_perspectives, parse_perspective, to_value
from palimpsest.state.tree import NOTHING

FEW = settings(max_examples=settings.default.max_examples // 3)
"""For what takes long."""


def plain_mask(mask: Any, value: Any) -> Any:
    return thaw(masking(mask)(freeze(value)))


def lens_of(*layers: Perspective) -> tuple[Lens, Naive]:
    """Of one perspective, or of the highest level of a family. Those whose names clash are of no use here."""
    family = {f"p{level}": replace(each, name=f"p{level}") for level, each in enumerate(layers, start=1)}
    if len(layers) > 1:
        family = {
            name: replace(each, family="f", level=level) for level, (name, each) in enumerate(family.items(), start=1)
        }
    try:
        family = {name: parse_perspective(name, to_value(each)) for name, each in family.items()}
        check_perspectives(family)
        lens = make_lens(family, "f", len(layers)) if len(layers) > 1 else make_lens(family, "p1")
    except InvalidPerspective:
        assume(False)
    return lens, Naive(layers, plain_mask)


def encoded(view: Any) -> Any:
    return None if view is NOTHING or view is GONE else (encode_value(view),)


@given(documents(), st.lists(perspectives(), min_size=1, max_size=2))
def test_views_are_as_the_dumb_projection_has_them(value: Any, layers: list[Perspective]) -> None:
    lens, naive = lens_of(*layers)
    view = lens.view(freeze(value))
    assert encoded(view) == encoded(naive.view(copy.deepcopy(value)))


@FEW
@given(st.data(), documents(), st.lists(perspectives(), min_size=1, max_size=2))
def test_a_view_changes_only_with_what_concerns_it(data: st.DataObject, value: Any, layers: list[Perspective]) -> None:
    lens, _ = lens_of(*layers)
    before = freeze(value)
    some = data.draw(st.lists(any_op(value), min_size=1, max_size=4))
    _, delta = model_apply_fitting(value, some)
    path = data.draw(paths_about(value).filter(bool))
    if data.draw(st.booleans()):
        delta = [ops.Erase(tuple("*" if data.draw(st.booleans()) else step for step in path))]
    after = apply_delta(before, delta)
    old, new = lens.view(before), lens.view(after)
    if not lens.concerns(delta):
        assert encoded(old) == encoded(new)
    if old is not NOTHING and new is not NOTHING:
        assert encoded(apply_delta(old, diff(old, new))) == encoded(new)


def some_delta(lens: Lens, view: Any) -> st.SearchStrategy[list[ops.Op]]:
    """Ops in any of their languages, most of them where it may be written."""
    near = [(*path, step) for path in paths_in(view) for step in ("a", "b", "c", 0, 1)]
    open_paths = [path for path in [*paths_in(view), *near] if is_writable(lens, path)]
    paths = st.one_of(st.sampled_from(open_paths), paths_about(view)) if open_paths else paths_about(view)
    pointers, values = paths.map(format_pointer), plain_values()
    names = st.sampled_from(["add", "remove", "replace", "test", "move", "copy"])
    likely = st.one_of(
        st.builds(ops.Set, paths, values),
        st.builds(ops.Delete, paths),
        st.builds(ops.Append, paths, values),
        st.builds(ops.Move, paths, paths),
        st.builds(ops.Copy, paths, paths),
        st.builds(ops.JsonPatch, names, pointers, values, pointers),
        st.builds(lambda path, value: ops.MergePatch(around(path, value)), paths, values),
    )
    return st.lists(st.one_of(likely, likely, any_op(view)), min_size=1, max_size=3)


def is_writable(lens: Lens, path: Any) -> bool:
    try:
        lens.source(path)
    except NotWritable:
        return False
    return True


def around(path: Any, value: Any) -> Any:
    for step in reversed(path):
        value = {str(step): value}
    return value


def outcome(lens: Lens, value: Any, delta: list[ops.Op]) -> Any:
    try:
        return lens.written(value, delta)
    except PalimpsestError as error:
        return error.to_wire()


@FEW
@given(st.data(), documents(), st.lists(perspectives(compute=False, writable=True), min_size=1, max_size=2))
def test_writes_do_what_they_say_and_nothing_else(data: st.DataObject, value: Any, layers: list[Perspective]) -> None:
    lens, naive = lens_of(*layers)
    before = freeze(value)
    view = lens.view(before)
    assume(view is not NOTHING)
    delta = data.draw(some_delta(lens, thaw(view)))
    found = outcome(lens, before, delta)
    if isinstance(found, tuple):
        return
    after = apply_delta(before, found)
    wanted = apply_delta(view, delta)
    assert dict(scalars(thaw(lens.view(after)))) == dict(scalars(thaw(wanted)))
    assert hidden(naive, value) == hidden(naive, thaw(after))


def hidden(naive: Naive, value: Any) -> dict[Any, Any]:
    return {path: item for path, item in scalars(value) if not naive.is_plain(value, path)}


@FEW
@given(st.data(), documents(), st.lists(perspectives(compute=False, writable=True), min_size=1, max_size=2))
def test_nothing_hidden_can_be_told_from_an_answer(data: st.DataObject, value: Any, layers: list[Perspective]) -> None:
    lens, naive = lens_of(*layers)
    other = value  # with a secret for every scalar that is hidden
    for number, path in enumerate(hidden(naive, value)):
        other = changed(other, path, f"secret-{number}")
    view = lens.view(freeze(other))
    assert "secret-" not in repr(view)
    delta = data.draw(some_delta(lens, thaw(view) if view is not NOTHING else None))
    found = outcome(lens, freeze(other), delta)
    assert "secret-" not in repr(found)
    if encoded(view) == encoded(lens.view(freeze(value))):
        assert repr(found) == repr(outcome(lens, freeze(value), delta))


@FEW
@given(plain_maps(), st.lists(perspectives(compute=False, writable=True), min_size=1, max_size=2))
def test_what_is_made_is_seen_as_it_was_given(value: Any, layers: list[Perspective]) -> None:
    lens, _ = lens_of(*layers)
    found = outcome(lens, NOTHING, [ops.Set((), value)])
    if not isinstance(found, tuple):
        (made,) = found
        assert encoded(lens.view(freeze(made.value))) == encoded(value)
