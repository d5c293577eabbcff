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
    any other name  what the resolver makes of it that the server has under this name

A rule holds at its place and inside of it, `atomic` only at its place. Of several, the one with the longest pattern holds; of these, the one
with the fewest `*`; of these, the one whose `*` come later. A rule that does not apply to what it meets, such as `sum` to texts, leaves the
conflict open. What only one side changed is never asked about.
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
"""Rules of one merge: far more than anybody writes by hand, and read again whenever a pending merge is looked at."""

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
    """What is known of patterns that begin alike. rule: of the one that ends here."""

    __slots__ = ("children", "rule")

    def __init__(self) -> None:
        self.children: dict[str | int, _Node] = {}
        self.rule: Rule | None = None


class Scope:
    """The rule at a place, and what is needed to tell those inside of it. is_exact: it was given for this place, and not for one around it."""

    __slots__ = ("_nodes", "is_exact", "rule")

    def __init__(self, nodes: Sequence[tuple[int, _Node]], inherited: Rule) -> None:
        """nodes: of the patterns that match so far, each with the number of its `*`."""
        found = [(stars, node.rule) for stars, node in nodes if node.rule is not None]
        self._nodes = nodes
        self.is_exact = bool(found)
        self.rule = min(found, key=_first)[1] if found else inherited

    def child(self, step: str | int) -> Scope:
        """What holds at a key or an index of the place."""
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
    """What `parse_rules` gives. given: as it was given."""

    def __init__(self, given: Mapping[str, str], parsed: Mapping[Path, Rule]) -> None:
        self.given = dict(given)
        self._root = _Node()
        for path, rule in parsed.items():
            node = self._root
            for step in path:
                node = node.children.setdefault(step, _Node())
            node.rule = rule

    def root(self) -> Scope:
        """What holds for the whole value."""
        return Scope(((0, self._root),), FAIL) if self.given else _NOWHERE

    def at(self, path: Path) -> Scope:
        """What holds at path, in which every step is taken as it is."""
        scope = self.root()
        for step in path:
            scope = scope.child(step)
        return scope


_NOWHERE: Final = Scope((), FAIL)
NO_RULES: Final = Rules({}, {})


def parse_rules(given: Any, resolvers: Mapping[str, Resolver] | None = None) -> Rules:
    """given: from patterns to names of rules. A pattern is a path in which `*`, as a whole step, stands for any one key or index. resolvers: by the
    name that a rule calls them by; the names above come first. Raises InvalidRequest, which names the pattern and says why."""
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"rules are a map of paths, not a {type(given).__name__}", reason="rules")
    if len(given) > RULES_MAX:
        raise InvalidRequest(f"{len(given)} rules; at most {RULES_MAX}", reason="rules")
    known = resolvers or {}
    parsed: dict[Path, Rule] = {}
    for pattern, name in given.items():
        path = _pattern(pattern)
        if path in parsed:
            raise InvalidRequest(f"two rules for {pattern!r}, which is written in two ways", reason="rules")
        parsed[path] = _rule(pattern, name, known)
    return Rules(given, parsed) if given else NO_RULES


def to_plain(rules: Rules) -> dict[str, str]:
    """What `parse_rules` was given."""
    return dict(rules.given)


def _pattern(pattern: Any) -> Path:
    if not isinstance(pattern, str):
        raise InvalidRequest(f"a rule for {pattern!r}, which is no path as text", reason="rules")
    try:
        return parse_path(pattern)
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
