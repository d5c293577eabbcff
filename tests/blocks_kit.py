"""The blocks of code in a page: what they are, and how each is run.

A comment in front of a block is a *mark*. Everything runs, unless a mark says why not:

    <!-- not run: why -->          it does not run; a test counts these
    <!-- file: NAME -->            it is written as a file, which a later command uses
    <!-- setup: PYTHON -->         runs before it, and is not shown
    <!-- meanwhile: PYTHON -->     runs beside it. The block ends once this has, and all that is to be printed was
    <!-- raises: NAME -->          it ends with this error
    <!-- exits: 4, 1 -->           the exit codes of its commands that are not 0, in their order
    <!-- is: role -->              data that is a role, a perspective, ...
    <!-- fresh -->                 it begins with an empty server, in an empty folder

A `text` block right behind a block is what it prints. What differs from run to run need not be the same: times, durations, sizes;
and ids, tokens and addresses, where one that was shown stands, from then on, for the one that there is in its place.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec

MARKS = ("not run", "file", "setup", "meanwhile", "raises", "exits", "is", "fresh")

_OPENING = re.compile(r"(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<language>[\w+-]*)[^`]*")
_MARK = re.compile(rf"(?P<name>{'|'.join(MARKS)})(?::(?P<said>.*))?", re.DOTALL)
_WHOLE = re.compile(r"\bpal\.run\(|\basyncio\.run\(|\brunning_server\(|\bsys\.stdin\b")


class Block(msgspec.Struct, frozen=True):
    """line: of its first line in the page. printed: the `text` block right behind it, or None. shown: it is such a block."""

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str]
    printed: str | None = None
    shown: bool = False

    def __str__(self) -> str:
        return f"{self.page.stem}-{self.line}"

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def is_excused(self) -> bool:
        return "not run" in self.marks

    @property
    def is_tests(self) -> bool:
        return self.language == "python" and re.search(r"^(async )?def test_", self.text, re.MULTILINE) is not None

    @property
    def is_script(self) -> bool:
        """A whole program, as against a fragment."""
        return self.language == "python" and _WHOLE.search(self.text) is not None and not self.is_tests


def blocks_of(page: Path) -> list[Block]:
    """All of a page, in their order. Raises AssertionError where one is not closed, or a mark is none."""
    found = list(_blocks(page, page.read_text(encoding="utf-8").splitlines()))
    for place, (block, after) in enumerate(pairwise(found)):
        if after.shown:
            found[place] = msgspec.structs.replace(block, printed=after.text)
    return found


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    marks: dict[str, str] = {}
    beside = False  # nothing but empty lines since the last block
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        opening = _OPENING.fullmatch(line)
        if opening is not None:
            text = _text(page, opening, number, numbered)
            shown = beside and opening["language"] == "text" and not marks
            yield Block(page, number + 1, opening["language"], text, marks, shown=shown)
            marks, beside = {}, not shown
        elif line.lstrip().startswith("<!--"):
            marks |= _mark(page, line, number, numbered)
        elif line.strip():
            marks, beside = {}, False


def _text(page: Path, opening: re.Match[str], start: int, numbered: Iterator[tuple[int, str]]) -> str:
    inside: list[str] = []
    for _, line in numbered:
        if re.fullmatch(rf" *{re.escape(opening['fence'])}`* *", line):
            return textwrap.dedent("".join(f"{each}\n" for each in inside))
        inside.append(line)
    raise AssertionError(f"{page.name}:{start}: the block is not closed")


def _mark(page: Path, line: str, start: int, numbered: Iterator[tuple[int, str]]) -> dict[str, str]:
    """Of a comment, whose lines it takes. A comment that does not begin as one is none."""
    said = line
    while "-->" not in said:
        said += "\n" + next(numbered, (0, "-->"))[1]
    found = _MARK.fullmatch(textwrap.dedent(said.strip().removeprefix("<!--").removesuffix("-->")).strip())
    return {} if found is None else {found["name"]: textwrap.dedent(found["said"] or "").strip()}


def prose_of(page: Path) -> str:
    """What is neither in a block nor in a comment."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for block in _blocks(page, list(lines)):
        for number in range(block.line - 1, block.line + block.text.count("\n") + 1):
            lines[number - 1] = ""
    return re.sub(r"<!--.*?-->", "", "\n".join(lines), flags=re.DOTALL)
