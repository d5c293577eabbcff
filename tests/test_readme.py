"""The README, run as pasted.

Every Python block runs as a script, inside of a running event loop as in a notebook, and line by line as in a REPL with one;
a block of tests runs under pytest. Where a `text` block follows, it is what is printed. A shell block is marked:
`<!-- runs -->` runs, beside the server of the one that `<!-- serves -->`, and `<!-- shown: why -->` does not run; one without
a mark fails.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_SECONDS = 60


class Block(msgspec.Struct, frozen=True):
    """line: of its first line in the file. printed: the `text` block right behind it, or None."""

    line: int
    language: str
    mark: str | None
    text: str
    printed: str | None = None

    def __str__(self) -> str:
        return f"line {self.line}"


def blocks_of(document: str) -> Iterator[Block]:
    found = list(_BLOCK.finditer(document))
    for match, following in zip(found, [*found[1:], None], strict=True):
        line = document.count("\n", 0, match.start("text")) + 1
        printed = None
        if (
            following is not None
            and following["language"] == "text"
            and not document[match.end() : following.start()].strip()
        ):
            printed = following["text"]
        yield Block(line, match["language"], match["mark"], match["text"], printed)


BLOCKS = list(blocks_of(README.read_text(encoding="utf-8")))
PYTHON = [block for block in BLOCKS if block.language == "python"]
TESTS = [block for block in PYTHON if "def test_" in block.text]
EXAMPLES = [block for block in PYTHON if "def test_" not in block.text]
SHELL = [block for block in BLOCKS if block.language == "sh"]

_NOTEBOOK = """
import asyncio, pathlib, sys
async def cell():
    exec(compile(pathlib.Path(sys.argv[1]).read_text(), "cell", "exec"), {"__name__": "__main__"})
asyncio.run(cell())
"""

# As `python -m asyncio`, whose own console takes no more than single lines from a pipe in some releases of Python.
_CONSOLE = """
import asyncio, code, pathlib, sys
async def console():
    typed = code.InteractiveConsole()
    for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
        typed.push(line)
asyncio.run(console())
"""


def _environment(**more: str) -> dict[str, str]:
    """Warnings are errors, and `palimpsest` is the one of this Python."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONWARNINGS": "error", "PYTHONPATH": str(ROOT), "PATH": tools, **more}


def _run(command: list[str], folder: Path, **environment: str) -> tuple[str, str]:
    """What it prints, and what on its standard error. It has to end well."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(**environment),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def script(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    file = tmp_path / "example.py"
    file.write_text(request.param.text, encoding="utf-8")
    return file


def _each_as_script(blocks: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("script", "block"), [(block, block) for block in blocks], indirect=["script"], ids=str
    )


@_each_as_script(EXAMPLES)
def test_runs_as_a_script(script: Path, block: Block) -> None:
    printed, _ = _run([sys.executable, str(script)], script.parent)
    assert block.printed is None or printed == block.printed


@_each_as_script(EXAMPLES)
def test_runs_in_a_notebook(script: Path, block: Block) -> None:
    printed, _ = _run([sys.executable, "-c", _NOTEBOOK, str(script)], script.parent)
    assert block.printed is None or printed == block.printed


@_each_as_script(EXAMPLES)
def test_runs_line_by_line(script: Path, block: Block) -> None:
    printed, said = _run([sys.executable, "-c", _CONSOLE, str(script)], script.parent)
    assert block.printed is None or printed == block.printed
    assert said == ""


@_each_as_script(TESTS)
def test_its_tests_pass(script: Path, block: Block) -> None:
    said, _ = _run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", str(script)], script.parent
    )
    assert f"{block.text.count('def test_')} passed" in said


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The README's server. On a free port, in place of the default, which may be taken on this machine."""
    (command,) = [block.text for block in SHELL if block.mark == "serves"]
    options = {
        "cwd": tmp_path,
        "env": _environment(),
        "text": True,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    with subprocess.Popen([*command.split(), "--port", "0"], **options) as process:  # type: ignore[call-overload]
        try:
            yield process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=_SECONDS)
            assert process.returncode == 0


@pytest.mark.parametrize("block", [block for block in SHELL if block.mark == "runs"], ids=str)
def test_its_commands_run(block: Block, served: str, tmp_path: Path) -> None:
    said, _ = _run([_tool("bash"), "-e", "-c", block.text], tmp_path, PALIMPSEST_URL=served)
    assert '"title": "A"' in said
    assert "increment stars 1" in said


@pytest.mark.parametrize("line", re.findall(r"^make [^#\n]*", "".join(block.text for block in SHELL), re.MULTILINE))
def test_its_targets_exist(line: str) -> None:
    subprocess.run(
        [_tool("make"), "-n", *line.split()[1:]], cwd=ROOT, check=True, capture_output=True, timeout=_SECONDS
    )


def test_every_block_is_accounted_for() -> None:
    assert {block.language for block in BLOCKS} <= {"python", "sh", "text"}
    assert all(block.mark in ("runs", "serves") or (block.mark or "").startswith("shown: ") for block in SHELL)
    assert sum(block.printed is not None for block in BLOCKS) == sum(block.language == "text" for block in BLOCKS)
    assert len(EXAMPLES) >= 3
    assert len(TESTS) >= 1


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"this machine has no {name}")
    return found
