"""What is said of a document's versions beside what they say themselves: the value of its `$versions` stream, and the ops that change it.

The value is a map from branches to maps of up to four entries: `tags`, from versions (as text) to tags that they were given (true) or
lost (false); `pruned`, up to which version the branch is not kept any more, with the tags that keep a version all the same; `lines`,
when the branch was made, from where, and deleted, once for each time; `merges`, from versions to the versions that they took in. Under
`$held` are the versions that pending merges need, and under `$taken` how conflicts were resolved. `lines`, `branching` and `resolutions` speak
of these.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from palimpsest.errors import InvalidValue
from palimpsest.state.ops import Op, Set
from palimpsest.state.resolutions import TAKEN
from palimpsest.state.values import MAPS, as_dict, thaw

_NONE: Mapping[str, bool] = {}
_TAKES = ("first", "second", "base", "value", "absent")


def labels(value: Any, branch: str) -> dict[int, dict[str, bool]]:
    """By version, the tags of the branch's versions that were given (true) or lost (false). value: frozen or plain."""
    found = _get(_get(value, branch), "tags")
    return {} if found is None else {int(version): dict(as_dict(tags)) for version, tags in as_dict(found).items()}


def labels_of(value: Any, branch: str, version: int) -> Mapping[str, bool]:
    """As `labels`, of one version."""
    tags = _get(_get(_get(value, branch), "tags"), str(version))
    return _NONE if tags is None else as_dict(tags)


def pruned(value: Any, branch: str) -> tuple[int, tuple[str, ...]]:
    """Up to which version the branch is not kept any more, and which tags keep a version; (0, ()) where all are."""
    found = _get(_get(value, branch), "pruned")
    return (0, ()) if found is None else (found["until"], tuple(found["tags"]))


def label_ops(branch: str, version: int, add: Iterable[str], remove: Iterable[str]) -> list[Op]:
    """The ops that give a version the tags `add` and take `remove` from it."""
    path = (branch, "tags", str(version))
    given: list[Op] = [Set((*path, tag), True) for tag in sorted(add)]
    return given + [Set((*path, tag), False) for tag in sorted(remove)]


def prune_ops(branch: str, until: int, tags: Sequence[str]) -> list[Op]:
    """The ops that say that versions up to `until` are not kept any more, but for those with a tag that matches one of tags."""
    return [Set((branch, "pruned"), {"until": until, "tags": list(tags)})]


def prune_of(ops: Iterable[Op]) -> tuple[str, int, tuple[str, ...]] | None:
    """(branch, until, tags) of the ops that `prune_ops` gave; None where there is no such decision among them."""
    for op in ops:
        if type(op) is Set and len(op.path) == 2 and op.path[1] == "pruned":
            return str(op.path[0]), op.value["until"], tuple(op.value["tags"])
    return None


def check_record(value: Any) -> None:
    """Returns if value is one of a record. Raises InvalidValue."""
    plain = thaw(value)
    if type(plain) is not dict:
        raise _wrong("", "a record is a map of branches")
    for branch, said in plain.items():
        if branch == TAKEN:
            _check_taken(said)
            continue
        if branch.startswith("$"):
            _check_nodes(branch, said)
            continue
        if type(said) is not dict or not said.keys() <= {"tags", "pruned", "lines", "merges"}:
            raise _wrong(branch, "a branch has `tags`, `pruned`, `lines` and `merges`")
        _check_lines(branch, said.get("lines", []))
        _check_nodes(branch, said.get("merges", {}))
        _check_tags(branch, said.get("tags", {}))
        _check_pruned(branch, said.get("pruned", {"until": 0, "tags": []}))


def _check_tags(branch: str, tags: Any) -> None:
    if type(tags) is not dict:
        raise _wrong(branch, "`tags` is a map of versions")
    for version, given in tags.items():
        if not (version.isascii() and version.isdigit() and version == str(int(version))):
            raise _wrong(branch, f"{version!r} is no version")
        if type(given) is not dict or not all(type(state) is bool for state in given.values()):
            raise _wrong(branch, f"the tags of version {version} are given (true) or lost (false)")


def _check_lines(branch: str, found: Any) -> None:
    if type(found) is not list:
        raise _wrong(branch, "`lines` is a list")
    for line in found:
        if type(line) is not dict or not line.keys() <= {"base", "first", "last", "at", "by", "description"}:
            raise _wrong(branch, "a line has `base`, `first`, and perhaps `last`, `at`, `by` and `description`")
        if (
            type(line.get("first")) is not int
            or type(line.get("last", 0)) is not int
            or type(line.get("at", 0)) is not int
        ):
            raise _wrong(branch, "`first`, `last` and `at` of a line are numbers")
        if line.get("base") is not None and not _is_node(line["base"]):
            raise _wrong(branch, "the base of a line is a branch and a version")
        if line.get("base") is not None and line["base"][1] >= line["first"]:
            raise _wrong(branch, "a line begins above what it starts from")
    if any(earlier["first"] >= later["first"] for earlier, later in itertools.pairwise(found)):
        raise _wrong(branch, "the lines of a branch rise")


def _check_nodes(branch: str, found: Any) -> None:
    """A map from something to lists of versions."""
    if type(found) is not dict or not all(
        type(nodes) is list and all(map(_is_node, nodes)) for nodes in found.values()
    ):
        raise _wrong(branch, "versions are lists of a branch and a number")


def _check_taken(found: Any) -> None:
    if type(found) is not dict or not all(
        type(entry) is dict
        and entry.get("take") in _TAKES
        and type(entry.get("n")) is int
        and entry.keys() <= {"take", "n", "value"}
        for entry in found.values()
    ):
        raise _wrong(TAKEN, "a resolution has `take`, `n`, and perhaps `value`")


def _is_node(node: Any) -> bool:
    return type(node) is list and list(map(type, node)) == [str, int]


def _check_pruned(branch: str, found: Any) -> None:
    if type(found) is not dict or found.keys() != {"until", "tags"}:
        raise _wrong(branch, "`pruned` has `until` and `tags`")
    if type(found["until"]) is not int or found["until"] < 0:
        raise _wrong(branch, "`until` is a version")
    if type(found["tags"]) is not list or not all(type(tag) is str for tag in found["tags"]):
        raise _wrong(branch, "the tags that keep a version are texts")


def _get(value: Any, key: str) -> Any:
    return value.get(key) if type(value) in MAPS else None


def _wrong(path: str, reason: str) -> InvalidValue:
    return InvalidValue(f"not a record: {reason}", path=path, reason=reason)
