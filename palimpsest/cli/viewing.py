"""The options that say through which perspective documents are seen."""

from __future__ import annotations

from typing import Annotated, TypedDict

import typer

from palimpsest.errors import UsageError

Perspective = Annotated[str | None, typer.Option(metavar="NAME", help="See it through this perspective.")]
Family = Annotated[
    str | None, typer.Option(metavar="NAME", help="See it through a level of this family of perspectives.")
]
Level = Annotated[int | None, typer.Option(metavar="N", min=1, help="The level of the --family.")]


class View(TypedDict):
    """The named arguments of the API."""

    perspective: str | None
    family: str | None
    level: int | None


def make_view(perspective: str | None, family: str | None, level: int | None) -> View:
    """Raises UsageError where they do not go together."""
    if perspective is not None and family is not None:
        raise UsageError("--perspective names one, --family and --level another: give one of them")
    if (family is None) != (level is None):
        raise UsageError("--family and --level go together: which family, and which level of it")
    return {"perspective": perspective, "family": family, "level": level}
