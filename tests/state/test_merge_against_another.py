"""Three thousand random trees, merged by us and by dictdiffer's `Merger`, which knows nothing of ours.

Both agree on whether there is a conflict, and where there is none, on the value. The trees are made so that nothing is in them that
dictdiffer takes otherwise: for it `True` is `1`; what both sides delete it deletes twice, and fails; what both append it appends twice; a map in place of a scalar is one
change for it, where ours merges two of them; a list in place of a map, or the other way round, it may miss. Where a side puts something
else in place of a map in which the other changed something, it fails when it puts the two together: a conflict, of kind `type` for ours.
"""

from __future__ import annotations

import copy
from collections import Counter
from random import Random
from typing import Any

from dictdiffer import patch
from dictdiffer.merge import Merger, UnresolvedConflictsException

from palimpsest.state.merge import merge
from palimpsest.state.values import encode_value, freeze

TREES = 3_000
SCALARS = (0, 1, 2, "x", "y", None, 2.5)
Place = tuple[str, ...]


def tree(random: Random, depth: int = 0) -> Any:
    kind = random.random()
    if depth < 4 and kind < 0.6:
        return {key: tree(random, depth + 1) for key in random.sample("abcdef", random.randint(0, 4))}
    if depth < 4 and kind < 0.7:
        return [random.randint(0, 5) for _ in range(random.randint(1, 3))]
    return random.choice(SCALARS)


def changed(random: Random, value: Any, gone: set[Place], new_items: tuple[int, ...], place: Place = ()) -> Any:
    """gone: what the other side has deleted; what this one deletes is added. new_items: what it may append to lists."""
    if isinstance(value, dict):
        found = {}
        for key, item in value.items():
            inner = (*place, key)
            if random.random() < 0.1 and not any(
                inner[: len(other)] == other or other[: len(inner)] == inner for other in gone
            ):
                gone.add(inner)
            elif isinstance(item, dict) and random.random() < 0.02:
                found[key] = random.choice(SCALARS)
            else:
                found[key] = changed(random, item, gone, new_items, inner)
        if random.random() < 0.4:
            new = random.choice("abcdefgh")
            if new not in value:
                found[new] = tree(random, len(place) + 1)
        return found
    if isinstance(value, list):
        return [*value, random.choice(new_items)] if random.random() < 0.15 else list(value)
    return random.choice(SCALARS) if random.random() < 0.15 else value


def theirs_says(base: Any, one: Any, other: Any) -> Any:
    """The merged value, or the name of the exception that says that there is none."""
    merger = Merger(*copy.deepcopy((base, one, other)), {})
    try:
        merger.run()
        return patch(merger.unified_patches, copy.deepcopy(base))
    except UnresolvedConflictsException:
        return "conflicts"
    except (TypeError, ValueError, KeyError):
        return "failed"


def test_three_thousand_trees() -> None:
    came_to: Counter[str] = Counter()
    for seed in range(TREES):
        random = Random(seed)
        base = {key: tree(random, 1) for key in random.sample("abcdefgh", random.randint(1, 5))}
        gone: set[Place] = set()
        one, other = changed(random, base, gone, (6, 7)), changed(random, base, gone, (8, 9))
        found = merge(freeze(base), freeze(one), freeze(other))
        expected = theirs_says(base, one, other)
        about = (seed, base, one, other)
        if expected == "failed":
            assert "type" in [conflict.kind for conflict in found.conflicts], about
        elif expected == "conflicts":
            assert found.conflicts, about
        else:
            assert not found.conflicts, about
            assert encode_value(found.value) == encode_value(freeze(expected)), about
        came_to[expected if isinstance(expected, str) else "merged"] += 1
    assert came_to.total() == TREES
    assert came_to["merged"] > TREES // 3
    assert came_to["conflicts"] > TREES // 10
    assert came_to["failed"] < TREES // 20, came_to
