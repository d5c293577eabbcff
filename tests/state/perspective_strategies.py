"""Perspectives that Hypothesis makes, and the dumb projection that views are compared with: each path of a value on its own, pattern by
pattern, over plain dicts and lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jmespath
from hypothesis import strategies as st

from palimpsest.state.paths import format_path, parse_path
from palimpsest.state.perspectives import Mask, Perspective

GONE: Any = object()
ELEMENT = ("any element",)
"""A step that only `*` matches."""

STEPS = st.sampled_from(["a", "b", "c", "*"])
PATTERNS = st.lists(STEPS, max_size=3).map(lambda steps: format_path(tuple(steps)))
KEYED = st.builds(lambda steps, key: format_path((*steps, key)), st.lists(STEPS, max_size=2), st.sampled_from("abc"))
SOME_PATTERNS = st.lists(PATTERNS, min_size=1, max_size=3, unique=True).map(tuple)
PLACES = st.lists(st.sampled_from("abcn"), min_size=1, max_size=2).map(lambda steps: format_path(tuple(steps)))
MASKS = st.sampled_from(
    [Mask(), Mask(value=None), Mask(value={"a": 1}), Mask(kind="last", characters=1), Mask(kind="hash", key="k")]
)
EXPRESSIONS = st.sampled_from(
    [
        "a",
        "a.b",
        "a[*].b",
        "a.*.b",
        "*.[a, b]",
        "length(a)",
        "keys(@)",
        "a || b.c",
        "a && `1`",
        "!a.b",
        "a[].b",
        "b[-1]",
        "b[?a].c",
        "b[?a == `1`] | length(@)",
        "{x: a.b, y: c}",
        "a.{x: b}",
        "b[0:2].a",
        "map(&a, b)",
        "sort_by(b, &a)[0].b",
        "c == `1`",
        "merge(a, b)",
        "to_string(a.c)",
        "a.*.[`1`]",
        "not_null(a.b, c)",
        "a | b",
        "@.a.c",
        "sum(c)",
    ]
)


def perspectives(*, compute: bool = True, writable: bool = False) -> st.SearchStrategy[Perspective]:
    return st.builds(
        Perspective,
        name=st.just("p"),
        include=SOME_PATTERNS if writable else st.lists(PATTERNS, max_size=3, unique=True).map(tuple),
        exclude=st.lists(PATTERNS.filter(bool), max_size=2, unique=True).map(tuple),
        rename=st.dictionaries(KEYED, st.sampled_from("abn"), max_size=2),
        mask=st.dictionaries(PATTERNS, MASKS, max_size=2),
        compute=st.dictionaries(PLACES, EXPRESSIONS, max_size=2 if compute else 0),
        writable=st.one_of(st.just(("",)), SOME_PATTERNS) if writable else st.just(()),
    )


def matches(pattern: Sequence[Any], path: Sequence[Any]) -> bool:
    return len(pattern) == len(path) and all(a in ("*", b) for a, b in zip(pattern, path, strict=True))


def inside(patterns: Sequence[str], path: Sequence[Any]) -> bool:
    """path is at or inside of one of them."""
    return any(matches(parse_path(text), path[:length]) for text in patterns for length in range(len(path) + 1))


class Naive:
    """layers: the lowest first. masking: what a mask makes of a plain value."""

    def __init__(self, layers: Sequence[Perspective], masking: Any) -> None:
        self.layers = layers
        self.masking = masking
        self.rename = {text: new for layer in layers for text, new in layer.rename.items()}
        self.compute = {text: said for layer in layers for text, said in layer.compute.items()}

    def view(self, value: Any) -> Any:
        view = self.project(value, (), ())
        if view is GONE and isinstance(value, dict):
            view = {}
        for text, expression in sorted(self.compute.items(), key=lambda item: parse_path(item[0])):
            result = evaluated(expression, value)
            if result is not None and isinstance(view, dict):
                put(view, parse_path(text), result)
        return view

    def project(self, value: Any, path: tuple[Any, ...], seen_as: tuple[Any, ...] | None) -> Any:
        plain, masks = self.status(path)
        if isinstance(value, dict):
            view: Any = {}
            for key, item in value.items():
                name = self.name(path, key)
                if self.takes_place(path, key, seen_as):
                    continue
                shown = self.project(item, (*path, key), None if seen_as is None else (*seen_as, name))
                if shown is not GONE:
                    view[name] = shown
            view = view if view or plain else GONE
        elif isinstance(value, list):
            items = [self.project(item, (*path, index), None) for index, item in enumerate(value)]
            is_shown = (plain and self.may_show((*path, ELEMENT))) or any(item is not GONE for item in items)
            view = [None if item is GONE else item for item in items] if is_shown else GONE
        else:
            view = value if plain else GONE
        return self.masking(masks[-1], value) if view is GONE and masks else view

    def status(self, path: tuple[Any, ...]) -> tuple[bool, list[Mask]]:
        """Whether a layer shows what is at path as it is; the masks of those that do not."""
        plain, masks = False, []
        for layer in self.layers:
            if not inside(layer.include, path) or inside(layer.exclude, path) or self.is_under_mask(layer, path):
                continue
            here = [(parse_path(text), mask) for text, mask in layer.mask.items() if matches(parse_path(text), path)]
            if here:
                masks.append(min(here, key=lambda item: vagueness(item[0]))[1])
            else:
                plain = True
        return plain, [] if plain else masks

    def is_under_mask(self, layer: Perspective, path: tuple[Any, ...]) -> bool:
        return any(matches(parse_path(text), path[:length]) for text in layer.mask for length in range(len(path)))

    def may_show(self, path: tuple[Any, ...]) -> bool:
        """Whether anything at path or inside of it could be shown."""
        plain, masks = self.status(path)
        if plain or masks:
            return True
        return any(
            any(
                len(steps := parse_path(text)) > len(path) and matches(steps[: len(path)], path)
                for text in layer.include
            )
            and not inside(layer.exclude, path)
            and not inside(tuple(layer.mask), path)
            for layer in self.layers
        )

    def name(self, path: tuple[Any, ...], key: str) -> str:
        found = [parse_path(text) for text in self.rename if matches(parse_path(text), (*path, key))]
        if not found:
            return key
        best = min(found, key=vagueness)
        return next(new for text, new in self.rename.items() if parse_path(text) == best)

    def takes_place(self, path: tuple[Any, ...], key: str, seen_as: tuple[Any, ...] | None) -> bool:
        """Whether something else has the place of a key: one that is renamed, or something computed."""
        if seen_as is not None and (*seen_as, self.name(path, key)) in [parse_path(text) for text in self.compute]:
            return True
        return self.name(path, key) == key and any(
            matches(parse_path(text)[:-1], path) and self.name(path, str(parse_path(text)[-1])) == key
            for text in self.rename
        )

    def is_plain(self, value: Any, path: tuple[Any, ...]) -> bool:
        """Whether the scalar at path in value is shown as it is."""
        for length, step in enumerate(path):
            if isinstance(step, str) and self.takes_place(path[:length], step, None):
                return False
        return self.status(path)[0]


def vagueness(path: Sequence[Any]) -> Any:
    stars = [step == "*" for step in path]
    return sum(stars), stars


def evaluated(expression: str, value: Any) -> Any:
    try:
        return jmespath.search(expression, in_order(value))
    except (jmespath.exceptions.JMESPathError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None


def in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return [in_order(item) for item in value] if isinstance(value, list) else value


def put(view: Any, path: Sequence[Any], result: Any) -> None:
    for step in path[:-1]:
        view = view.setdefault(step, {})
        if not isinstance(view, dict):
            return
    view[path[-1]] = result


def scalars(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every scalar in a plain value, with its path."""
    if isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from scalars(item, (*path, step))
    else:
        yield path, value


def changed(value: Any, path: Sequence[Any], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {key: changed(item, path[1:], new) if key == path[0] else item for key, item in value.items()}
    return [changed(item, path[1:], new) if index == path[0] else item for index, item in enumerate(value)]
