"""Functions that rules of merges call by name, found by the names of their modules."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, cast

from palimpsest.errors import UsageError
from palimpsest.state.rules import NAMES as RULE_NAMES
from palimpsest.state.rules import Resolver

_PLACE = re.compile(r"(?P<module>[^:=]+):(?P<function>[^:]+)")


def load_resolvers(places: Mapping[str, str]) -> dict[str, Resolver]:
    """places: MODULE:FUNCTION by the resolver's name, such as `my.rules:newest`. Modules are looked for in the working directory, too, after all
    others.

    Raises UsageError for a place that is none, and where there is no such module or function in it.
    """
    if places and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return {name: _find(name, place) for name, place in places.items()}


def _find(name: str, place: str) -> Resolver:
    said = f"resolver {name}={place}"
    parts = _PLACE.fullmatch(place)
    if parts is None:
        raise UsageError(f"{said}: write NAME=MODULE:FUNCTION")
    if name in RULE_NAMES or name.startswith("key:"):
        raise UsageError(f"{said}: there is a rule {name} already")
    return _load(said, parts["module"], parts["function"])


def _load(said: str, module: str, function: str) -> Resolver:
    try:
        resolver: Any = importlib.import_module(module)
    except Exception as error:  # what a module does when it is imported is its own affair
        raise UsageError(f"{said}: {module} cannot be imported: {error}") from error
    for name in function.split("."):
        resolver = getattr(resolver, name, None)
    if not callable(resolver):
        raise UsageError(f"{said}: {module} has no function {function}")
    return cast(Resolver, resolver)
