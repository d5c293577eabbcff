"""Perspectives: what one comes to, together with those that it extends and with the lower levels of its family, and whether they go
together at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from msgspec.structs import replace

from palimpsest.errors import PerspectiveNotFound
from palimpsest.state.computed import Expression, parse_expression
from palimpsest.state.definitions import (
    PERSPECTIVES,
    Mask,
    Perspective,
    parse_perspective,
    paths_of,
    refusal,
    to_value,
)
from palimpsest.state.outline import Clash, Layer, Place, Plan, outline
from palimpsest.state.paths import Path, format_path, parse_path

__all__ = [
    "PERSPECTIVES",
    "Mask",
    "Perspective",
    "Resolved",
    "check_perspectives",
    "outlined",
    "parse_perspective",
    "resolve",
    "to_value",
]

EXTENDS_MAX = 16
"""How many perspectives one may have above it."""


class Resolved(msgspec.Struct, frozen=True):
    """All that a lens needs. layers: what is shown is what any of them shows, none of which extends another any more; the
    fields are those of the highest layer with what the lower ones add."""

    name: str
    level: int | None
    layers: tuple[Perspective, ...]
    documents: tuple[str, ...]
    rename: Mapping[str, str]
    compute: Mapping[str, str]
    read: tuple[str, ...]
    write: tuple[str, ...]
    writable: tuple[str, ...]


def resolve(perspectives: Mapping[str, Perspective], name: str, level: int | None = None) -> Resolved:
    """name: of a perspective, or, with a level, of a family. Raises PerspectiveNotFound or InvalidPerspective."""
    if level is None:
        if name not in perspectives:
            raise PerspectiveNotFound(f"there is no perspective {name!r}", perspective=name)
        return _together(name, None, [extended(perspectives, name)])
    levels = _levels(perspectives, name)
    if not 1 <= level <= len(levels):
        reason = f"there is no level {level} of a family {name!r} of perspectives"
        raise PerspectiveNotFound(reason, perspective=name)
    return _together(name, level, [extended(perspectives, each.name) for each in levels[:level]])


def extended(perspectives: Mapping[str, Perspective], name: str) -> Perspective:
    """The perspective with all that it has from those that it extends. Raises InvalidPerspective."""
    line = [perspectives[name]]
    while (above := line[-1].extends) is not None:
        if above not in perspectives:
            raise refusal(line[-1].name, "extends", f"there is no perspective {above!r}")
        if any(each.name == above for each in line):
            raise refusal(line[-1].name, "extends", f"{above!r} extends this one")
        if len(line) > EXTENDS_MAX:
            raise refusal(name, "extends", f"more than {EXTENDS_MAX} perspectives extend each other")
        line.append(perspectives[above])
    made = line.pop()
    while line:
        made = _child(made, line.pop())
    return replace(made, extends=None)


def outlined(resolved: Resolved, masking: Callable[[Mask], Any]) -> tuple[Place, list[tuple[Path, Expression]]]:
    """The outline, and what is computed, by place. masking: what is put into the outline for a mask. Raises InvalidPerspective where
    names clash."""
    computed = [(parse_path(place), parse_expression(text)) for place, text in resolved.compute.items()]
    computed.sort(key=_place)
    layers = tuple(
        Layer(
            paths_of(each.include),
            paths_of(each.exclude),
            {parse_path(path): masking(mask) for path, mask in each.mask.items()},
        )
        for each in resolved.layers
    )
    for (place, _), (inner, _) in pairwise(computed):
        if inner[: len(place)] == place:
            at = format_path(("compute", format_path(inner)))
            raise refusal(
                resolved.layers[-1].name, at, f"it lies inside of {format_path(place)!r}, which is computed, too"
            )
    plan = Plan(
        layers,
        {parse_path(path): name for path, name in resolved.rename.items()},
        tuple(place for place, _ in computed),
        frozenset().union(*(expression.whole for _, expression in computed)),
        frozenset().union(*(expression.exists for _, expression in computed)),
    )
    try:
        return outline(plan), computed
    except Clash as clash:
        said = getattr(resolved, clash.field) if clash.field else {}
        text = next((text for text in said if parse_path(text) == clash.path), None)
        at = clash.field if text is None else format_path((clash.field, text))
        raise refusal(resolved.layers[-1].name, at, clash.reason) from clash


def check_perspectives(perspectives: Mapping[str, Perspective]) -> None:
    """Returns if they go together. perspectives: all there are, by name, each as `parse_perspective` gives it.

    Raises InvalidPerspective where one extends what is not there, or itself; where a family has not levels from 1 on, each of them
    once, for the same documents and with the same names; and where names clash.
    """
    for name in sorted(perspectives):
        outlined(resolve(perspectives, name), _as_it_is)
    for family in sorted({each.family for each in perspectives.values() if each.family is not None}):
        levels = _levels(perspectives, family)
        for level in range(1, len(levels) + 1):
            outlined(resolve(perspectives, family, level), _as_it_is)


def _place(computed: tuple[Path, Expression]) -> Any:
    return computed[0]


def _as_it_is(mask: Mask) -> Mask:
    return mask


def _child(above: Perspective, own: Perspective) -> Perspective:
    """own with what it has from above."""
    return replace(
        own,
        documents=own.documents if own.documents != "**" else above.documents,
        include=_united(above.include, own.include),
        exclude=_united(above.exclude, own.exclude),
        rename=_over(above.rename, own.rename),
        mask=_over(above.mask, own.mask),
        compute=_over(above.compute, own.compute),
        read=own.read or above.read,
        write=own.write or above.write,
        writable=own.writable or above.writable,
    )


def _united(above: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*above, *own]))


def _over(above: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """By path, however it is written."""
    paths = {parse_path(text) for text in own}
    return {**{text: said for text, said in above.items() if parse_path(text) not in paths}, **own}


# --- families --------------------------------------------------------------------------------------------------------


def _levels(perspectives: Mapping[str, Perspective], family: str) -> list[Perspective]:
    """The perspectives of a family, the lowest level first; none where there is no such family. Raises InvalidPerspective."""
    members = [each for each in perspectives.values() if each.family == family]
    members.sort(key=lambda each: (each.level or 0, each.name))
    for expected, each in enumerate(members, start=1):
        if each.level == expected:
            continue
        if each.level == expected - 1:
            reason = f"{members[expected - 2].name!r} is level {each.level} of {family!r} already"
        else:
            reason = f"{family!r} has no level {expected}"
        raise refusal(each.name, "level", reason)
    return members


def _together(name: str, level: int | None, layers: list[Perspective]) -> Resolved:
    """The lowest layer comes first."""
    top = layers[-1]
    rename: dict[str, str] = {}
    compute: dict[str, str] = {}
    writable: tuple[str, ...] = ()
    for each in layers:
        if _documents(each) != _documents(top):
            raise refusal(
                top.name, "documents", f"levels of a family are for the same documents, and {each.name!r} is for others"
            )
        _check_names(each, rename)
        rename = _over(rename, each.rename)
        compute = _over(compute, each.compute)
        writable = _united(writable, each.writable)
    return Resolved(
        name=name,
        level=level,
        layers=tuple(layers),
        documents=_documents(top),
        rename=rename,
        compute=compute,
        read=next((each.read for each in reversed(layers) if each.read), ()),
        write=next((each.write for each in reversed(layers) if each.write), ()),
        writable=writable,
    )


def _documents(perspective: Perspective) -> tuple[str, ...]:
    said = perspective.documents
    return (said,) if isinstance(said, str) else tuple(sorted(set(said)))


def _check_names(perspective: Perspective, lower: Mapping[str, str]) -> None:
    known = {parse_path(text): new for text, new in lower.items()}
    for text, new in perspective.rename.items():
        other = known.get(parse_path(text), new)
        if other != new:
            reason = f"a lower level calls it {other!r}; in a family, a key has one name"
            raise refusal(perspective.name, format_path(("rename", text)), reason)
