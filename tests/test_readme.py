"""README's programs, run as they are pasted: inside of a running event loop as in a notebook, and line by line as in a console with one.

That they run as scripts, and that everything else in README runs, is for `test_docs`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from blocks_kit import Block, blocks_of
from starter_kit import Starter

README = Path(__file__).parent.parent / "README.md"
PROGRAMS = [block for block in blocks_of(README) if block.is_script]

_NOTEBOOK = """
import asyncio, pathlib
async def cell():
    exec(compile(pathlib.Path("example.py").read_text(), "cell", "exec"), {"__name__": "__main__"})
asyncio.run(cell())
"""

# As `python -m asyncio`, whose own console takes no more than single lines from a pipe in some releases of Python.
_CONSOLE = """
import asyncio, code, pathlib
async def console():
    typed = code.InteractiveConsole()
    for line in pathlib.Path("example.py").read_text().splitlines():
        typed.push(line)
asyncio.run(console())
"""


@pytest.mark.parametrize("way", [_NOTEBOOK, _CONSOLE], ids=["notebook", "console"])
@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_runs_as_pasted(block: Block, way: str, starter: Starter, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [str(starter.folder / "python"), "-c", way],
        cwd=tmp_path,
        env=starter.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == (block.printed, "", 0)


def test_there_are_some() -> None:
    assert len(PROGRAMS) >= 3
    assert all(block.printed for block in PROGRAMS)
