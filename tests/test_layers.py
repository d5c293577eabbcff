"""Imports run downwards only: the table of rooms, held by walking every import of the package.

Every import counts, wherever it stands: at the top of a module, inside of a function, or for type checkers alone.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

import palimpsest

PACKAGE = Path(palimpsest.__file__).parent

GROUND = frozenset({"errors", "clock", "words", "limits", "counting"})
PURE = frozenset({"state", "protocol"})

MAY_IMPORT: dict[str, frozenset[str]] = {
    "errors": GROUND,
    "clock": GROUND,
    "words": GROUND,
    "limits": GROUND,
    "counting": GROUND,
    "logs": frozenset(),
    "running": frozenset(),
    "state": GROUND,
    "protocol": GROUND,
    "storage": GROUND | {"logs"},
    "actors": GROUND | {"logs", "state", "protocol", "storage"},
    "server": GROUND | {"logs", "state", "protocol", "storage", "actors"},
    "telemetry": frozenset(),
    "client": GROUND | {"logs", "state", "protocol", "telemetry"},
    "embedded": GROUND | {"protocol", "server", "client"},
    "signals": frozenset({"client"}),
    "sync": GROUND | {"logs", "state", "client", "server"},
    "web": GROUND | {"logs", "running", "state", "client", "server", "embedded", "sync"},
    "cli": GROUND | {"logs", "running", "state", "client", "server", "embedded", "sync", "web"},
    "testing": GROUND | {"logs", "running", "state", "client", "server", "embedded", "sync"},
    "__main__": frozenset({"cli"}),
}
"""Which rooms a room may import beside itself. A room is a package or a module right below `palimpsest`."""

STORAGE_FOR_ACTORS = frozenset({"palimpsest.storage.contracts", "palimpsest.storage.events"})
IMPLEMENTATIONS = frozenset(
    f"palimpsest.storage.{name}"
    for name in ("memory", "sqlite", "sqlite_journal", "sqlite_archive", "faults", "backup")
)
FOREIGN_TO_PURE = frozenset({"asyncio", "anyio", "socket", "ssl", "threading", "subprocess", "sqlite3", "aiosqlite"})


class Import(msgspec.Struct, frozen=True):
    """That a module imports another. names: both whole, such as `palimpsest.state.paths` and `asyncio`."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


# --- the checker ---------------------------------------------------------------------------------------------------


def imports_of(module: str, source: str, modules: frozenset[str], *, is_package: bool = False) -> Iterator[Import]:
    """modules: all modules of the package, which tells `from package import module` from `from module import name`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node, is_package)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield Import(module, whole if whole in modules else base, node.lineno)


def _base(module: str, node: ast.ImportFrom, is_package: bool) -> str:
    if node.level == 0:
        assert node.module is not None
        return node.module
    parts = module.split(".")
    above = parts[: len(parts) - node.level + is_package]
    return ".".join([*above, node.module] if node.module else above)


def violations(found: Iterable[Import]) -> list[str]:
    return [f"{each}: {why}" for each in found if (why := why_not(each)) is not None]


def why_not(each: Import) -> str | None:
    """Why an import is not allowed; None where it is."""
    importer, imported = room_of(each.importer), room_of(each.imported)
    if importer == "":  # the public names
        return None
    if importer not in MAY_IMPORT:
        return f"`{importer}` is a room that the table does not know"
    if imported is None:
        foreign = each.imported.split(".")[0]
        return f"`{importer}` is pure" if importer in PURE and foreign in FOREIGN_TO_PURE else None
    if imported != importer and imported not in MAY_IMPORT[importer]:
        return f"`{importer}` must not see `{imported or 'the public names'}`"
    if importer == "actors" and imported == "storage" and each.imported not in STORAGE_FOR_ACTORS:
        return "of storage, `actors` sees contracts and events alone"
    return None


def room_of(module: str) -> str | None:
    """ "" for the package itself; None for what is not ours."""
    parts = module.split(".")
    if parts[0] != "palimpsest":
        return None
    return parts[1] if len(parts) > 1 else ""


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a ring, in order; empty where there is none."""
    done: set[str] = set()
    trail: list[str] = []

    def visit(module: str) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return []
        trail.append(module)
        for imported in sorted(edges.get(module, ())):
            if ring := visit(imported):
                return ring
        trail.pop()
        done.add(module)
        return []

    return next((ring for module in sorted(edges) if (ring := visit(module))), [])


# --- the package ---------------------------------------------------------------------------------------------------


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}
IMPORTS = [
    each
    for module, file in FILES.items()
    for each in imports_of(
        module, file.read_text(encoding="utf-8"), frozenset(FILES), is_package=file.name == "__init__.py"
    )
]


def test_imports_run_downwards() -> None:
    assert violations(IMPORTS) == []


def test_every_room_is_in_the_table() -> None:
    assert {room_of(module) for module in FILES} - {""} <= MAY_IMPORT.keys()


def test_the_table_itself_runs_downwards() -> None:
    ranks: dict[str, int] = {}

    def rank(room: str) -> int:
        if room not in ranks:
            below = MAY_IMPORT[room] - (GROUND if room in GROUND else frozenset())
            ranks[room] = 1 + max((rank(each) for each in below), default=0)
        return ranks[room]

    assert all(rank(room) > rank(below) for room in MAY_IMPORT.keys() - GROUND for below in MAY_IMPORT[room])


def test_the_ground_has_no_cycles() -> None:
    names = {f"palimpsest.{name}" for name in GROUND}
    edges = {name: {each.imported for each in IMPORTS if each.importer == name} & names for name in names}
    assert cycle(edges) == []


def test_only_the_server_names_an_implementation_of_storage() -> None:
    naming = {room_of(each.importer) for each in IMPORTS if each.imported in IMPLEMENTATIONS}
    assert naming <= {"storage", "server"}


def test_the_package_only_re_exports() -> None:
    tree = ast.parse(FILES["palimpsest"].read_text(encoding="utf-8"))
    assert [type(node).__name__ for node in tree.body if not _is_export(node)] == []


def _is_export(node: ast.stmt) -> bool:
    """An import, the docstring, or an assignment to a name with double underscores."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Name) and target.id.startswith("__") for target in node.targets)
    return isinstance(node, (ast.Import, ast.ImportFrom))


OF_EXTRAS = {
    "pytest": "testing",
    "blinker": "signals",
    "starlette": "web",
    "uvicorn": "web",
    "prometheus_client": "web",
    "opentelemetry": "telemetry",
}
"""What is imported of packages that only an extra brings, and by which room alone."""


def test_what_is_imported_is_declared() -> None:
    # A foreign import is of the standard library, of a dependency, or of an extra and in the room that the extra is for.
    foreign = {
        each.imported.split(".")[0]: each
        for each in IMPORTS
        if room_of(each.imported) is None and each.imported.split(".")[0] not in sys.stdlib_module_names
    }
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *extras["signals"], *extras["marshmallow"]]
    declared = {re.split(r"[^a-z0-9_]", requirement)[0] for requirement in requirements}
    known = declared | OF_EXTRAS.keys() | {"typing_extensions"}  # type checkers know it without its being installed
    assert {name: str(each) for name, each in foreign.items() if name not in known} == {}
    for each in IMPORTS:
        extra = OF_EXTRAS.get(each.imported.split(".")[0])
        assert extra is None or room_of(each.importer) == extra, str(each)


# --- the checker catches what it is there for -----------------------------------------------------------------------

KNOWN = frozenset(FILES)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("palimpsest.state.values", "from palimpsest.protocol.framing import join_frames"),
        ("palimpsest.protocol.messages", "from palimpsest.state.paths import Path"),
        ("palimpsest.storage.memory", "import palimpsest.state.values"),
        ("palimpsest.actors.document", "from palimpsest.storage.memory import MemoryJournal"),
        ("palimpsest.actors.document", "from palimpsest.storage import memory"),
        ("palimpsest.actors.document", "from palimpsest.storage import Journal"),
        ("palimpsest.actors.document", "from palimpsest.server import Server"),
        ("palimpsest.server.server", "from palimpsest.client import connect"),
        ("palimpsest.client.client", "from palimpsest.server import Server"),
        ("palimpsest.client.client", "from palimpsest.actors.feed import Feed"),
        ("palimpsest.client.client", "from palimpsest.storage.contracts import Journal"),
        ("palimpsest.server.server", "from palimpsest.embedded import Server"),
        ("palimpsest.embedded", "from palimpsest.actors.feed import Feed"),
        ("palimpsest.embedded", "from palimpsest.cli.main import main"),
        ("palimpsest.errors", "from palimpsest.state.paths import Path"),
        ("palimpsest.cli.main", "from palimpsest.testing import ManualClock"),
        ("palimpsest.cli.main", "from palimpsest.storage.sqlite_journal import SqliteJournal"),
        ("palimpsest.client.client", "import palimpsest"),
        ("palimpsest.client.client", "from palimpsest import Server"),
        ("palimpsest.state.values", "import asyncio"),
        ("palimpsest.state.values", "import asyncio.events"),
        ("palimpsest.protocol.framing", "from anyio.abc import ByteStream"),
        ("palimpsest.protocol.framing", "from socket import socket"),
        ("palimpsest.state.values", "def late():\n    import sqlite3"),
        ("palimpsest.state.values", "if TYPE_CHECKING:\n    from aiosqlite import Connection"),
        ("palimpsest.client.client", "if TYPE_CHECKING:\n    from palimpsest.server import Server"),
        ("palimpsest.client.client", "def late():\n    from palimpsest.server import Server"),
        ("palimpsest.client.client", "from ..server import Server"),
        ("palimpsest.client.client", "from .. import server"),
        ("palimpsest.unheard_of", "import json"),
    ],
)
def test_catches(module: str, source: str) -> None:
    assert len(violations(imports_of(module, source, KNOWN))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("palimpsest", "from palimpsest.server import Server"),
        ("palimpsest.state.values", "from palimpsest.errors import InvalidValue\nimport json"),
        ("palimpsest.actors.document", "from palimpsest.storage import contracts"),
        ("palimpsest.actors.document", "from palimpsest.storage.events import Event\nimport asyncio"),
        ("palimpsest.server.server", "from palimpsest.storage.memory import MemoryJournal"),
        ("palimpsest.client.client", "from .link import Link\nfrom . import session\nfrom ..errors import Conflict"),
        ("palimpsest.embedded", "from palimpsest.server import Server\nfrom palimpsest.client import connect"),
    ],
)
def test_lets_pass(module: str, source: str) -> None:
    assert violations(imports_of(module, source, KNOWN)) == []


def test_relative_imports_of_a_package() -> None:
    found = imports_of(
        "palimpsest.client", "from .session import Session\nfrom ..server import Server", KNOWN, is_package=True
    )
    assert [each.imported for each in found] == ["palimpsest.client.session", "palimpsest.server"]


def test_finds_cycles() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
