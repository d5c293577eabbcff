"""What it takes to decide a conflict: which side, or which value, is to be there."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

from palimpsest.client.requests import check_name, encode_new_value, make_path
from palimpsest.errors import InvalidRequest, InvalidValue
from palimpsest.protocol import messages as m
from palimpsest.state.delta import DELETE
from palimpsest.state.tree import NOTHING


class Choice(Enum):
    """Whose value may stand where a conflict is. The values are the wire's."""

    OURS = "ours"
    THEIRS = "theirs"
    BASE = "base"

    def __repr__(self) -> str:
        return self.name


OURS: Final = Choice.OURS
"""What is there on the branch that is merged into."""
THEIRS: Final = Choice.THEIRS
"""What is there on the branch that is merged."""
BASE: Final = Choice.BASE
"""What was there in the common ancestor."""
ABSENT: Final[Any] = NOTHING
"""Nothing, which null is not: a side of a conflict that has nothing at the path. As a resolution: nothing is to be
there."""


class Value(msgspec.Struct, frozen=True):
    """As a resolution: this value is to be there. Raises InvalidValue for what says that nothing is: DELETE does that,
    by itself."""

    value: Any

    def __post_init__(self) -> None:
        if self.value is ABSENT or self.value is DELETE:
            raise InvalidValue(f"{self.value!r} is no value; it is a resolution by itself", path="", reason="no value")


Resolutions: TypeAlias = Mapping[Any, Any]
"""What `resolve` takes: by path, or by document and path, one of OURS, THEIRS, BASE, DELETE and Value(...)."""


def make_resolutions(resolutions: Resolutions) -> tuple[m.Resolution, ...]:
    """In the order of the mapping. Raises InvalidPath, InvalidName, InvalidValue or InvalidRequest."""
    if not isinstance(resolutions, Mapping):
        raise InvalidRequest(f"resolutions are a mapping, not a {type(resolutions).__name__}", reason="resolutions")
    return tuple([_make_resolution(key, taken) for key, taken in resolutions.items()])


def _make_resolution(key: Any, taken: Any) -> m.Resolution:
    document: str | None = None
    path = key
    if isinstance(key, tuple):
        # A path in steps would look the same; it has to be said with its document, or as text.
        if len(key) != 2:
            raise InvalidRequest(f"{key!r} is neither a path as text nor a document and a path", reason="resolutions")
        document, path = key
        check_name(document)
    steps = make_path(path)
    if isinstance(taken, Value):
        return m.Resolution(steps, "value", encode_new_value(taken.value), document)
    if taken is DELETE or taken is ABSENT:
        return m.Resolution(steps, "absent", document=document)
    if not isinstance(taken, Choice):
        raise InvalidRequest(
            f"{taken!r} decides nothing: OURS, THEIRS, BASE, DELETE or Value(...) does", reason="resolutions"
        )
    return m.Resolution(steps, taken.value, document=document)
