"""What paths come to, worked out beforehand: for every place that a value can have, what is shown of it and under which name.

The patterns of a perspective are turned into a graph once. A walk through a value takes an edge for each key, and needs to look at no
pattern; a place that no pattern speaks of any more is `WHOLE` or `HIDDEN`, where the walk ends. Elements of a list all take the
same edge, so that they are never told apart, and keys that no pattern names take that edge, too.

It does not know what a mask makes of a value, nor what is computed: only where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from palimpsest.state.paths import Path
from palimpsest.state.redact import ANY

PLACES_MAX = 5_000
"""Of one graph: patterns with many `*` beside many keys could multiply."""

Kind = Literal["exclude", "exists", "include", "mask", "rename", "whole"]


class Clash(Exception):
    """Two things would have one name. field, path: the one of them that is to be blamed, as it was given."""

    def __init__(self, field: str, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.path = path
        self.reason = reason


class Layer(msgspec.Struct, frozen=True):
    """What one perspective shows. Paths are of the document, and `*` in them is any step; mask: by path, what is done there."""

    include: tuple[Path, ...] = ()
    exclude: tuple[Path, ...] = ()
    mask: Mapping[Path, Any] = {}


class Plan(msgspec.Struct, frozen=True):
    """layers: each of them shows something; of two masks, the later one counts. compute: places in the view. whole, exists: what
    changes of a document are of interest, shown or not: any at or inside of a path, or whether there is anything at all."""

    layers: tuple[Layer, ...]
    rename: Mapping[Path, str] = {}
    compute: tuple[Path, ...] = ()
    whole: frozenset[Path] = frozenset()
    exists: frozenset[Path] = frozenset()


class Place:
    """A place in a value, or all places that are alike. Not changed once it is made."""

    __slots__ = (
        "edges",
        "included",
        "is_hidden",
        "is_loud",
        "is_made",
        "is_whole",
        "mask",
        "named",
        "names",
        "other",
        "sources",
    )

    def __init__(self, *, included: bool = False, mask: Any = None) -> None:
        self.included = included
        """What is here is shown, whatever it is, as far as the places inside are."""
        self.mask = mask
        """What is done to what is here, where nothing inside of it is shown; None: nothing is."""
        self.is_whole = False
        """All that is here is shown as it is."""
        self.is_hidden = False
        """Nothing that is here is shown."""
        self.is_loud = False
        """Any change in here may be a change of the view."""
        self.is_made = False
        """That there is something now, where there was nothing, may be one."""
        self.named: dict[str, Place] = {}
        """By key of the document: those that a pattern names."""
        self.other: Place = self
        """Where every other key, and every element, is."""
        self.names: dict[str, str] = {}
        """What the view calls a key of the document; those that have another name there."""
        self.sources: dict[str, str] = {}
        """The other way round."""
        self.edges: tuple[tuple[str, str, Place], ...] = ()
        """Of `named`, what is not hidden: its key, its name in the view, and its place."""

    def at(self, step: str | int) -> Place:
        """Where a step in the document leads."""
        return self.named.get(step, self.other) if type(step) is str else self.other

    def source(self, step: str | int) -> str | int | None:
        """The step in the document for one in the view; None where nothing of the document has that name."""
        if type(step) is str:
            return self.sources.get(step) or (None if step in self.names else step)
        return step


def _whole() -> Place:
    place = Place(included=True)
    place.is_whole = place.is_loud = place.is_made = True
    return place


def _hidden() -> Place:
    place = Place()
    place.is_hidden = True
    return place


WHOLE: Final = _whole()
HIDDEN: Final = _hidden()
"""Where nothing is of interest either."""


def outline(plan: Plan) -> Place:
    """The root. Raises Clash where two keys, or a key and something computed, would have one name, or where places become too many."""
    return _Builder(plan).root()


class _Rule(msgspec.Struct, frozen=True):
    """layer: -1 where it is of none."""

    kind: Kind
    path: Path
    layer: int = -1
    what: Any = None


_OUT, _IN, _DEAD = 0, 1, 2
"""How far a layer has come: nothing is included yet; it is; nothing in here is shown."""

_State = tuple[int, frozenset[int], tuple[int, ...], frozenset[int]]
"""Depth, the rules that match so far, how far each layer has come, and what is computed here or deeper."""


class _Builder:
    def __init__(self, plan: Plan) -> None:
        self._rules = list(_rules(plan))
        self._layers = len(plan.layers)
        self._compute = plan.compute
        self._places: dict[_State, Place] = {}

    def root(self) -> Place:
        every = frozenset(range(len(self._rules)))
        return self._place((0, every, (_OUT,) * self._layers, frozenset(range(len(self._compute)))))

    def _place(self, state: _State) -> Place:
        place = self._places.get(state)
        if place is None:
            if len(self._places) >= PLACES_MAX:
                raise Clash("", (), f"its paths come to more than {PLACES_MAX} places that differ")
            place = self._places[state] = self._make(state)
        return place

    def _make(self, state: _State) -> Place:
        depth, alive, layers, computed = state
        ending = [self._rules[index] for index in sorted(alive) if len(self._rules[index].path) == depth]
        layers, masks, included = self._through(ending, layers)
        alive = frozenset(index for index in alive if len(self._rules[index].path) > depth)
        layers = tuple(self._still(layer, came, alive) for layer, came in enumerate(layers))
        if all(came == _DEAD for came in layers):
            computed = frozenset()
        alive = frozenset(index for index in alive if self._matters(self._rules[index], layers))
        if included and not computed and self._is_whole(alive, layers):
            return WHOLE
        place = Place(included=included, mask=masks[-1] if masks and not included else None)
        is_dead = all(came == _DEAD for came in layers)
        place.is_hidden = is_dead and not included and place.mask is None
        kinds = {rule.kind for rule in ending}
        place.is_made = included or "exists" in kinds
        place.is_loud = place.mask is not None or "whole" in kinds
        if place.is_hidden and not alive and not place.is_made and not place.is_loud:
            return HIDDEN
        place.other = HIDDEN
        self._connect(place, depth, alive, layers, computed)
        return place

    def _through(self, ending: Sequence[_Rule], layers: tuple[int, ...]) -> tuple[tuple[int, ...], list[Any], bool]:
        """How far the layers are once past the rules that end here; the masks of those that show what is here masked; and whether
        another one shows it unmasked."""
        after: list[int] = []
        masks: list[Any] = []
        included = False
        for layer, came in enumerate(layers):
            own = [rule for rule in ending if rule.layer == layer]
            kinds = {rule.kind for rule in own}
            if "exclude" in kinds:
                came = _DEAD
            elif came == _OUT and "include" in kinds:
                came = _IN
            if "mask" in kinds and came != _DEAD:
                if came == _IN:
                    masks.append(min((rule for rule in own if rule.kind == "mask"), key=_vagueness).what)
                came = _DEAD
            included = included or came == _IN
            after.append(came)
        return tuple(after), masks, included

    def _still(self, layer: int, came: int, alive: frozenset[int]) -> int:
        if came != _OUT:
            return came
        more = any(self._rules[index].layer == layer and self._rules[index].kind == "include" for index in alive)
        return _OUT if more else _DEAD

    def _matters(self, rule: _Rule, layers: tuple[int, ...]) -> bool:
        if rule.layer >= 0:
            return layers[rule.layer] == _OUT or (layers[rule.layer] == _IN and rule.kind != "include")
        return rule.kind != "rename" or any(came != _DEAD for came in layers)

    def _is_whole(self, alive: frozenset[int], layers: tuple[int, ...]) -> bool:
        """Whether a layer shows all that is here, and nothing has another name."""
        rules = [self._rules[index] for index in alive]
        if any(rule.kind == "rename" for rule in rules):
            return False
        limited = {rule.layer for rule in rules}
        return any(came == _IN and layer not in limited for layer, came in enumerate(layers))

    # --- what is inside of a place ----------------------------------------------------------------------------------

    def _connect(
        self, place: Place, depth: int, alive: frozenset[int], layers: tuple[int, ...], computed: frozenset[int]
    ) -> None:
        self._name(place, depth, alive)
        hidden, inside = self._made_room(place, depth, computed)
        hidden |= {name for name in place.sources if name not in place.names}
        by_step: dict[str | int, set[int]] = {}
        for index in alive:
            by_step.setdefault(self._rules[index].path[depth], set()).add(index)
        anything = frozenset(by_step.pop(ANY, ()))
        for key in sorted(map(str, by_step.keys() | hidden | inside.keys())):
            matching = anything.union(by_step.get(key, ()))
            towards = (_DEAD,) * self._layers if key in hidden else layers
            place.named[key] = self._place((depth + 1, matching, towards, inside.get(key, frozenset())))
        place.other = self._place((depth + 1, anything, layers, frozenset()))
        place.edges = tuple(
            (key, place.names.get(key, key), child) for key, child in place.named.items() if not child.is_hidden
        )

    def _name(self, place: Place, depth: int, alive: frozenset[int]) -> None:
        """Gives keys their names in the view."""
        given: dict[str, _Rule] = {}
        for index in sorted(alive):
            rule = self._rules[index]
            if rule.kind == "rename" and len(rule.path) == depth + 1:
                key = str(rule.path[depth])
                given[key] = min(given.get(key, rule), rule, key=_vagueness)
        for key, rule in given.items():
            if rule.what in place.sources:
                raise Clash("rename", rule.path, f"two keys of one map would have the name {rule.what!r}")
            place.names[key] = rule.what
            place.sources[rule.what] = key

    def _made_room(
        self, place: Place, depth: int, computed: frozenset[int]
    ) -> tuple[set[str], dict[str, frozenset[int]]]:
        """The keys that are hidden by what is computed in their place; and by key, what is computed deeper inside."""
        hidden: set[str] = set()
        inside: dict[str, frozenset[int]] = {}
        for index in sorted(computed):
            path = self._compute[index]
            name = str(path[depth])
            key = place.source(name)
            if len(path) == depth + 1 and name in place.sources:
                raise Clash("compute", path, f"a key that is renamed has the name {name!r}, too")
            if not isinstance(key, str):
                continue
            if len(path) == depth + 1:
                hidden.add(key)
            else:
                inside[key] = inside.get(key, frozenset()) | {index}
        return hidden, inside


def _rules(plan: Plan) -> Iterator[_Rule]:
    for number, layer in enumerate(plan.layers):
        yield from (_Rule("include", path, number) for path in layer.include)
        yield from (_Rule("exclude", path, number) for path in layer.exclude)
        yield from (_Rule("mask", path, number, mask) for path, mask in layer.mask.items())
    yield from (_Rule("rename", path, what=name) for path, name in plan.rename.items())
    yield from (_Rule("whole", path) for path in sorted(plan.whole))
    yield from (_Rule("exists", path) for path in sorted(plan.exists))


def _vagueness(rule: _Rule) -> tuple[int, list[bool]]:
    """Of two rules for one place, the lesser counts: it has fewer `*`, or its `*` come later."""
    stars = [step == ANY for step in rule.path]
    return sum(stars), stars
