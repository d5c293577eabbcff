"""Rules by which conflicts are decided, by the place where they are.

    fail            a conflict (as where no rule is)
    ours, theirs    what one side has
    base            what there was before
    sum             of numbers: what both sides added to it
    max, min        of numbers
    atomic          a container is one thing: changed on both sides, it conflicts
    union           of lists: what either side has, and neither took away
    key:<field>     lists of maps that are told apart by this field are merged element by element
    diff3           lists by elements, and texts by lines: changes that do not meet are both made

A rule holds at its place and inside of it. Of several, the one with the longest pattern holds; of these, the one with the fewest `*`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from palimpsest.errors import InvalidPath, InvalidRequest
from palimpsest.state.conflicts import Conflict
from palimpsest.state.paths import Path, parse_path
from palimpsest.state.redact import ANY

RULES_MAX = 1_000

Resolver = Callable[[Conflict], Any]
"""The value for the place, NOTHING for none, or CONFLICT where it does not decide."""

NAMES: Final = ("fail", "ours", "theirs", "base", "sum", "max", "min", "union", "diff3", "atomic")
_KEY = "key:"


class Rule(msgspec.Struct, frozen=True):
    """name: one of NAMES, "key", or "resolver". field: of `key`."""

    name: str
    field: str = ""
    resolver: Resolver | None = None


FAIL: Final = Rule("fail")


class _Node:
    """What is known of patterns that begin alike."""

    __slots__ = ("children", "rule")

    def __init__(self) -> None:
        self.children: dict[str | int, _Node] = {}
        self.rule: Rule | None = None


class Scope:
    """The rule at a place. is_exact: it was given for this place, and not for one around it."""

    __slots__ = ("_nodes", "is_exact", "rule")

    def __init__(self, nodes: Sequence[tuple[int, _Node]], inherited: Rule) -> None:
        """nodes: of the patterns that match so far, each with the number of its `*`."""
        found = [(stars, node.rule) for stars, node in nodes if node.rule is not None]
        self._nodes = nodes
        self.is_exact = bool(found)
        self.rule = min(found, key=_first)[1] if found else inherited

    def child(self, step: str | int) -> Scope:
        if not self._nodes:
            return self if not self.is_exact else Scope((), self.rule)
        nodes: list[tuple[int, _Node]] = []
        for stars, node in self._nodes:
            if step != ANY and (child := node.children.get(step)) is not None:
                nodes.append((stars, child))
            if (child := node.children.get(ANY)) is not None:
                nodes.append((stars + 1, child))
        return Scope(nodes, self.rule)


class Rules:
    """What `parse_rules` gives."""

    def __init__(self, given: Mapping[str, str], parsed: Mapping[Path, Rule]) -> None:
        self.given = dict(given)
        self._root = _Node()
        for path, rule in parsed.items():
            node = self._root
            for step in path:
                node = node.children.setdefault(step, _Node())
            node.rule = rule

    def root(self) -> Scope:
        return Scope(((0, self._root),), FAIL) if self.given else _NOWHERE

    def at(self, path: Path) -> Scope:
        scope = self.root()
        for step in path:
            scope = scope.child(step)
        return scope


_NOWHERE: Final = Scope((), FAIL)
NO_RULES: Final = Rules({}, {})


def parse_rules(given: Any, resolvers: Mapping[str, Resolver] | None = None) -> Rules:
    """given: from patterns to names of rules. A pattern is a path in which `*` stands for any one key or index. Raises InvalidRequest."""
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"rules are a map of paths, not a {type(given).__name__}", reason="rules")
    if len(given) > RULES_MAX:
        raise InvalidRequest(f"{len(given)} rules; at most {RULES_MAX}", reason="rules")
    known = resolvers or {}
    parsed = {_pattern(pattern): _rule(pattern, name, known) for pattern, name in given.items()}
    return Rules(given, parsed) if given else NO_RULES


def to_plain(rules: Rules) -> dict[str, str]:
    """What `parse_rules` was given."""
    return dict(rules.given)


def _pattern(pattern: Any) -> Path:
    if not isinstance(pattern, str):
        raise InvalidRequest(f"a rule for {pattern!r}, which is no path as text", reason="rules")
    try:
        return parse_path(pattern) if pattern else ()
    except InvalidPath as error:
        raise InvalidRequest(f"a rule for {pattern!r}: {error.message}", reason="rules") from error


def _rule(pattern: str, name: Any, resolvers: Mapping[str, Resolver]) -> Rule:
    if isinstance(name, str):
        if name in NAMES:
            return Rule(name)
        if name.startswith(_KEY) and len(name) > len(_KEY):
            return Rule("key", name.removeprefix(_KEY))
        if name in resolvers:
            return Rule("resolver", resolver=resolvers[name])
    there_are = ", ".join([*NAMES, "key:<field>", *sorted(resolvers)])
    raise InvalidRequest(f"at {pattern or 'the root'}: {name!r} is no rule; there are {there_are}", reason="rules")


def _first(found: tuple[int, Rule]) -> int:
    return found[0]
