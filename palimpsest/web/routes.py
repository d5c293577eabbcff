"""Which operation a request is for: by its path and method."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from starlette.routing import compile_path

from palimpsest.web.operations import Operation


class Found(NamedTuple):
    """path: its parameters by name, decoded."""

    operation: Operation
    path: dict[str, str]


class WrongMethod(NamedTuple):
    """There is something at the path, for these methods."""

    allowed: tuple[str, ...]


class _Place(NamedTuple):
    """What is at one path, by method."""

    pattern: re.Pattern[str]
    operations: dict[str, Operation]


class Routes:
    """Where several paths fit, the first operation that takes the method counts. What takes GET takes HEAD, too."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._places: dict[str, list[_Place]] = {}
        """By the first part of their paths, which never is a parameter."""
        for path, by_method in _by_path(operations).items():
            place = _Place(compile_path(path)[0], by_method)
            self._places.setdefault(_first_part(path), []).append(place)

    def find(self, method: str, path: str) -> Found | WrongMethod | None:
        """path: decoded."""
        allowed: tuple[str, ...] = ()
        for pattern, operations in self._places.get(_first_part(path), ()):
            fitting = pattern.match(path)
            if fitting is not None:
                operation = operations.get(method)
                if operation is not None:
                    return Found(operation, fitting.groupdict())
                allowed = allowed or tuple(operations)
        return WrongMethod(allowed) if allowed else None


def _by_path(operations: Iterable[Operation]) -> Mapping[str, dict[str, Operation]]:
    found: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_method = found.setdefault(operation.path, {})
        by_method[operation.method] = operation
        if operation.method == "GET":
            by_method["HEAD"] = operation
    return found


def _first_part(path: str) -> str:
    return path[1:].partition("/")[0]
