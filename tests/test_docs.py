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

import palimpsest as pal
from palimpsest.state import ops

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_KIB = 1024
_UNITS = {"KiB": _KIB, "MiB": _KIB**2, "GiB": _KIB**3}


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """What is not in a block of code."""
    return _FENCED.sub("", read(page))


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
    for link in _LINK.findall(prose(page)):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.is_relative_to(ROOT), link
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def anchors(page: Path) -> list[str]:
    """Of the headings, as they are made from their text."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_the_index_lists_every_page() -> None:
    linked = {(DOCS / link).resolve() for link in _LINK.findall(read(DOCS / "index.md"))}
    assert {page for page in PAGES if page.name != "index.md"} <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_are_closed(page: Path) -> None:
    assert "```" not in prose(page)


# --- examples ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in PAGES if ">>> " in read(page)], ids=lambda page: page.name)
def test_examples_run(page: Path) -> None:
    done = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert done.attempted > 0
    assert done.failed == 0


_PYTHON = re.compile(
    r"^```python\n(?P<code>.*?)^```$(?:\n\n^```text\n(?P<printed>.*?)^```$)?", re.MULTILINE | re.DOTALL
)


def scripts() -> Iterator[Any]:
    """The Python blocks of the pages in docs/ that run by themselves, each with what it prints."""
    for page in sorted(DOCS.glob("*.md")):
        for block in _PYTHON.finditer(read(page)):
            if "pal.run(" in block["code"]:
                yield pytest.param(block["code"], block["printed"] or "", id=f"{page.stem}-{block.start()}")


@pytest.mark.parametrize(("code", "printed"), list(scripts()))
def test_scripts_run(
    code: str, printed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == printed


@pytest.mark.anyio
async def test_the_verifier_of_the_page_on_proof(tmp_path: Path) -> None:
    found = re.search(r"^<!-- verifier -->\n```python\n(.*?)^```$", read(DOCS / "proof.md"), re.MULTILINE | re.DOTALL)
    assert found is not None
    (tmp_path / "verifier.py").write_text(found[1], encoding="utf-8")
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
