"""The documents say what is so: links lead somewhere, examples run, and tables agree with the code."""

from __future__ import annotations

import ast
import doctest
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from blocks_kit import Block, blocks_of, prose_of
from data_kit import KINDS, READERS
from shell_kit import LANGUAGES
from shown_kit import Names
from starter_kit import Starter
from story_kit import ELSEWHERE, belongs, tell

import palimpsest as pal
from palimpsest.state import ops

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_KIB = 1024
_UNITS = {"KiB": _KIB, "MiB": _KIB**2, "GiB": _KIB**3}


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def table(page: Path, first: str) -> Iterator[list[str]]:
    """The cells of each row of the table whose header begins with `first`."""
    _, _, rest = read(page).partition(f"| {first} |")
    assert rest, f"{page.name} has no such table"
    for line in rest.splitlines()[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def named(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


# --- links ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose_of(page)):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.is_relative_to(ROOT), link
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def anchors(page: Path) -> list[str]:
    """Of the headings, as they are made from their text."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_page_is_found_from_the_index() -> None:
    found = {DOCS / "index.md"}
    new = found
    while new:
        new = {linked for page in new for linked in pages_linked(page)} - found
        found |= new
    assert {page for page in PAGES if page not in found} == set()


def pages_linked(page: Path) -> Iterator[Path]:
    for link in _LINK.findall(prose_of(page)):
        file = (page.parent / link.partition("#")[0]).resolve()
        if file.suffix == ".md" and file.is_file():
            yield file


# --- examples ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in PAGES if ">>> " in read(page)], ids=lambda page: page.name)
def test_examples_run(page: Path) -> None:
    done = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert done.attempted > 0
    assert done.failed == 0


BLOCKS = {page: blocks_of(page) for page in PAGES}
ALL = [block for blocks in BLOCKS.values() for block in blocks]
NOT_RUN_MAX = 10


def runs_alone(block: Block) -> bool:
    """A program that is whole, and speaks to no server but its own."""
    return block.is_script and not block.is_excused and not belongs(block)


@pytest.mark.parametrize("block", [block for block in ALL if runs_alone(block)], ids=str)
def test_scripts_run(block: Block, starter: Starter, tmp_path: Path) -> None:
    """README's run in other ways as well: see test_readme."""
    (tmp_path / "example.py").write_text(block.text, encoding="utf-8")
    done = run(starter, ["python", "example.py"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    Names().compare(block.printed or "", done.stdout)


@pytest.mark.parametrize("block", [block for block in ALL if block.is_tests and not block.is_excused], ids=str)
def test_tests_pass(block: Block, starter: Starter, tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(block.text, encoding="utf-8")
    others = ("cacheprovider", "asyncio", "schemathesis", "hypothesispytest", "xdist")  # they take a second to begin
    words = ["python", "-m", "pytest", "-q", *(f"-pno:{each}" for each in others), "test_example.py"]
    done = run(starter, words, tmp_path)
    assert f"{block.text.count('def test_')} passed" in done.stdout, done.stdout + done.stderr


def run(starter: Starter, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(starter.folder / words[0]), *words[1:]],
        cwd=folder,
        env=starter.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(map(belongs, BLOCKS[page]))], ids=lambda page: page.name
)
def test_stories_are_as_told(page: Path, starter: Starter) -> None:
    """Fragments of Python, and commands with what they print."""
    tell([block for block in BLOCKS[page] if belongs(block)], starter)


@pytest.mark.parametrize(
    "block", [block for block in ALL if block.language in READERS and not block.is_excused], ids=str
)
def test_data_can_be_read(block: Block) -> None:
    data = READERS[block.language](block.text)
    if "is" in block.marks:
        KINDS[block.marks["is"]](data)


def test_every_block_is_run() -> None:
    """Each by one of the tests above; or it says why not."""
    assert [str(block) for block in ALL if not any(ways(block))] == []
    excused = [f"{block.place}: {block.marks['not run']}" for block in ALL if block.is_excused]
    assert all(why.partition(": ")[2] for why in excused)
    assert len(excused) <= NOT_RUN_MAX, excused


def ways(block: Block) -> Iterator[bool]:
    """What becomes of it."""
    yield block.is_excused
    yield block.shown
    yield block.language in ELSEWHERE.get(block.page.name, ())
    yield belongs(block) or runs_alone(block) or block.is_tests
    yield block.language in READERS
    yield block.language == "pycon" and ">>> " in block.text


def test_every_file_of_a_page_is_used() -> None:
    for block in ALL:
        if "file" in block.marks:
            name = Path(block.marks["file"]).stem
            rest = BLOCKS[block.page][BLOCKS[block.page].index(block) + 1 :]
            assert any(name in each.text for each in rest), f"{block.place}: nothing uses {block.marks['file']}"


@pytest.mark.parametrize("block", [block for block in ALL if block.language in LANGUAGES], ids=str)
def test_targets_of_make_exist(block: Block) -> None:
    targets = re.findall(r"^(\w+):", read(ROOT / "Makefile"), re.MULTILINE)
    assert {words.split()[0] for words in re.findall(r"^(?:\$ )?make ([^#\n]+)", block.text, re.MULTILINE)} <= {
        *targets
    }


@pytest.mark.anyio
async def test_the_verifier_of_the_page_on_proof(tmp_path: Path) -> None:
    (verifier,) = [block for block in BLOCKS[DOCS / "proof.md"] if "sys.stdin" in block.text]
    (tmp_path / "verifier.py").write_text(verifier.text, encoding="utf-8")
    kept = await _make_a_store(tmp_path)
    newest = {(line["document"], line["branch"]): line["digest"] for line in kept}
    verdict = _verify(tmp_path, kept)
    assert verdict.returncode == 0, verdict.stderr
    printed = [json.loads(line) for line in verdict.stdout.splitlines()]
    assert {(line["document"], line["branch"]): line["digest"] for line in printed} == newest
    assert [line["erased_from"] for line in printed if line["document"] == "notes/1"] == [0, 1, 3]
    forged = {**kept[0], "digest": 32 * "00"}
    assert "kept elsewhere" in _verify(tmp_path, [forged]).stderr
    _change(tmp_path / "saved" / "archive")
    assert "AssertionError: ('notes/1', 'main', 250)" in _verify(tmp_path, []).stderr


async def _make_a_store(folder: Path) -> list[dict[str, Any]]:
    """With all that a store may hold, and a backup of it. Digests as `palimpsest digest` prints them, the newest last."""
    kept: list[dict[str, Any]] = []
    async with pal.Server(folder / "store") as server, server.connect() as client:
        await client.create("notes/1", {"n": 0, "text": 100 * "long ", "email": "a@example.org"}, by="ana", tags={"x"})
        for n in range(2, 300):
            await client.update("notes/1", {"n": n}, request_id=f"request-{n}")
        kept.append(_line(await client.digest("notes/1", version=200)))
        await client.transaction({"notes/1": {"email": "b@example.org"}, "notes/2": pal.Create(5)}, description="why")
        await client.tag("notes/1", 3, {"kept"})
        await client.prune("notes/1", versions=200, dry_run=False)
        await client.erase("notes/1", "email", by="privacy")
        await client.erase("notes/2")
        await client.branch("notes/1", "draft", at=250)
        await client.update("notes/1", {"text": "short", "email": "c@example.org"}, branch="draft", by="bo")
        await client.merge("notes/1", source="draft", rules={"email": "theirs"})
        await client.erase("notes/1", "email", branch="draft")
        for branch in ("$versions", "main", "draft"):
            kept.append(_line(await client.digest("notes/1", branch=branch)))
        kept.append(_line(await client.digest("notes/2")))
        await server.partition.settled()
        await client.backup(folder / "saved")
    return kept


def _line(digest: Any) -> dict[str, Any]:
    return {
        "document": digest.document,
        "branch": digest.branch,
        "version": digest.version,
        "digest": digest.hex,
    }


def _verify(folder: Path, kept: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "verifier.py", "saved/archive"],
        cwd=folder,
        input="\n".join(map(json.dumps, kept)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _change(archive: Path) -> None:
    raw = sqlite3.connect(archive)
    raw.execute("UPDATE events SET at = at + 1 WHERE version = 250")
    raw.commit()
    raw.close()


# --- tables --------------------------------------------------------------------------------------------------------


def test_limits() -> None:
    written = {named(row[0])[0]: number(row[1]) for row in table(DOCS / "operations.md", "setting")}
    assert written == msgspec.structs.asdict(pal.Limits())


def number(text: str) -> int:
    digits, _, unit = text.replace(",", "").partition(" ")
    return int(digits) * (_UNITS[unit] if unit else 1)


def test_events_of_the_log() -> None:
    written = {(name, row[1]) for row in table(DOCS / "operations.md", "event") for name in named(row[0])}
    assert written == set(logged())


def logged() -> Iterator[tuple[str, str]]:
    """(event, level) of every line that the package may log."""
    for file in Path(pal.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(read(file))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[ast.Constant(value=str(event)), *_]
                ):
                    yield event, level


@pytest.mark.anyio
async def test_statistics() -> None:
    written = {name for row in table(DOCS / "operations.md", "number") for name in named(row[0])}
    async with pal.Server.memory() as server:
        assert written <= server.statistics().keys()


def test_ops() -> None:
    written = [named(row[0])[0].partition("(")[0] for row in table(DOCS / "deltas.md", "op")]
    kinds = [ops.Set, ops.Replace, ops.Delete, ops.Increment, ops.Insert, ops.Append, ops.Remove, ops.Move, ops.Copy]
    assert written == [kind.__name__.lower() for kind in [*kinds, ops.Splice, ops.Test, ops.Absent]]


def test_reasons() -> None:
    written = {named(row[0])[0] for row in table(DOCS / "deltas.md", "reason")}
    assert pal.errors.DeltaFailed.__doc__ is not None
    _, _, reasons = pal.errors.DeltaFailed.__doc__.partition("one of")
    assert written == set(named(reasons))


def test_errors_of_deltas() -> None:
    for row in table(DOCS / "deltas.md", "error"):
        for name in named(row[0]):
            assert issubclass(getattr(pal.errors, name), pal.PalimpsestError)
