"""Systems outside that documents are reconciled with: what is said of one, as data, and where that is kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from palimpsest.errors import InvalidName, InvalidRequest, InvalidValue, LimitExceeded
from palimpsest.state.names import Pattern, check_branch
from palimpsest.state.rules import parse_rules
from palimpsest.state.values import thaw

SOURCES = "$system/sources/"
"""What the names of documents begin with that say of a source what it is; the source's name follows."""

SNAPSHOTS = "$system/snapshots/"
"""Of those that hold what a source had when it was last pushed."""

PLANS, RUNS = "$system/plans/", "$system/runs/"
"""Of kept plans and runs: the source's name follows, and behind it the id."""

Direction = Literal["in", "out", "both"]
OnConflict = Literal["fail", "rebase", "source", "document"]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A system outside, and how documents are reconciled with it."""

    documents: str
    """The document; or, ending in `/**`, those under a name: one for each object, named `<that>/<model>/<id>`."""
    direction: Direction = "in"
    """`in`: what changed outside happens in the documents; `out`: the other way round; or `both`."""
    rules: dict[str, str] = {}
    """What becomes of conflicts, by path, as in a merge: `ours` is the document, `theirs` the source. A resolver of the server is no rule
    here."""
    on_conflict: OnConflict = "fail"
    """`fail`: a document that has moved since the plan is left alone, and conflicts wait as a pending merge. `rebase`: what has moved is planned
    again. `source`, `document`: as `rebase`, and conflicts without a rule are decided for that side."""
    max_deletes: Count | Share | None = None
    """So many deletes in a run, in each direction; or, as a float, that share of the objects that were agreed on. None: any number."""
    depth: Annotated[int, msgspec.Meta(ge=0, le=16)] = 2
    """In one document: how many keys lead to an object."""
    batch: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 500
    """So many changes are made outside before it is noted that they are made."""
    interval_seconds: Seconds | None = None
    """From the beginning of a run to that of the next one; None: only when it is asked for."""
    jitter_seconds: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0.0
    """At most so much later, at random."""
    adapter: str = ""
    """For the command line: where the adapter is made, as `module:function`."""
    keep: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 50
    """So many plans, and so many runs, are kept."""
    description: str = ""

    @property
    def prefix(self) -> str | None:
        """What the names of its documents begin with; None where it is one document."""
        return self.documents.removesuffix("**") if self.documents.endswith("/**") else None

    def all_rules(self) -> dict[str, str]:
        """Its rules, and the one for the root that on_conflict stands for."""
        side = {"source": "theirs", "document": "ours"}.get(self.on_conflict)
        return self.rules if side is None else {"": side, **self.rules}


def parse_source(value: Any) -> Source:
    """value: of a document; frozen or plain. Raises InvalidValue with the reason."""
    try:
        source = msgspec.convert(thaw(value), Source)
    except msgspec.ValidationError as error:
        raise _wrong(str(error)) from error
    check_source(source)
    return source


def check_source(source: Source) -> None:
    """Raises InvalidValue where it does not make sense."""
    try:
        pattern = Pattern.parse(source.documents)
        parse_rules(source.rules)
    except (InvalidName, InvalidRequest, LimitExceeded) as error:
        raise _wrong(error.message) from error
    prefix = source.prefix
    if source.documents.startswith("$") or (pattern.exact is None and (prefix is None or "*" in prefix)):
        raise _wrong("`documents` is the name of a document, or a name and `/**`")


def branch_of(name: str) -> str:
    """The branch on which the documents are as the source of that name has them. Raises InvalidName where it is no name of a source."""
    reason = "the name of a source is text without `/`"
    if not isinstance(name, str) or not name or "/" in name:
        raise InvalidName(f"{name!r}: {reason}", name=repr(name), reason=reason)
    check_branch(f"sync/{name}")
    return f"sync/{name}"


def to_value(source: Source) -> dict[str, Any]:
    """What `parse_source` takes; what is as by default is left out."""
    plain: dict[str, Any] = msgspec.to_builtins(source)
    return plain


def check_any(value: Any) -> None:
    """Of a snapshot: it is as the source has it."""


def check_map(value: Any) -> None:
    """Of a plan or a run: what they say is looked at when they are used. Raises InvalidValue."""
    if type(thaw(value)) is not dict:
        raise InvalidValue("not a plan or a run: it is a map", path="", reason="it is a map")


def _wrong(reason: str) -> InvalidValue:
    return InvalidValue(f"not a source: {reason}", path="", reason=reason)
