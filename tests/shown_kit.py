"""What a page shows against what is printed: the same, but for what no two runs have in common."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

_ADDRESS = r"(?:127\.0\.0\.1|localhost):\d{4,5}"
_TOKEN = r"pal_[0-9a-f]{12}_[\w-]*(?:\.\.\.)?"
_ID = r"[0-9a-f]{16}-[0-9a-f]{8}\b|\b[0-9a-f]{40}\b|\b[0-9a-f]{16}\b|\b[0-9a-f]{12}\b|\b[0-9a-f]{4,}(?=\.\.\.)\.\.\."
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?"
_AMOUNT = r"\b\d[\d.,]* (?:ms|s|bytes|kB|MB|GB)(?!\w)"
_STANDS_FOR = re.compile(f"(?P<address>{_ADDRESS})|(?P<token>{_TOKEN})|(?P<id>{_ID})")
_DIFFERS = re.compile(
    rf"{_STANDS_FOR.pattern}|(?P<time>{_TIME})|(?P<amount>{_AMOUNT})|(?P<rest>\.\.\.)|(?P<answer>(?<=\[y/N\] )\w+$)"
)
_LIKE = {
    "address": r"[\w.]+:\d+",
    "token": r"pal_[0-9a-f]{12}_[\w-]+",
    "id": r"[0-9a-f]+(?:-[0-9a-f]+)?",
    "amount": r"\d[\d.,]* (?:ms|s|bytes|kB|MB|GB)",
    "rest": r".*",
}


class Names:
    """What stands for what, in one story: by what a page shows, what there is in this run."""

    def __init__(self) -> None:
        self._meant: dict[str, str] = {}

    def forget_addresses(self) -> None:
        """What listened there does not any more."""
        self._meant = {shown: there for shown, there in self._meant.items() if not re.fullmatch(_ADDRESS, shown)}

    def put_in(self, text: str) -> str:
        """A text of the page, with what there is."""
        return _STANDS_FOR.sub(lambda found: self._meant.get(found[0], found[0]), text)

    def compare(self, shown: str, printed: str) -> None:
        """Learns what stands for what. Raises AssertionError where the two differ in anything else."""
        shown, printed = _stripped(shown), _stripped(printed)
        learnt: list[str] = []
        found = re.fullmatch("".join(self._pattern(shown, learnt)), printed)
        if found is None:
            both = difflib.unified_diff(shown.splitlines(), printed.splitlines(), "shown", "printed", lineterm="")
            raise AssertionError("\n".join(both))
        self._meant |= {name: found[f"n{place}"] for place, name in enumerate(learnt)}

    def _pattern(self, shown: str, learnt: list[str]) -> Iterator[str]:
        for line in shown.splitlines(keepends=True):
            if line.strip() == "...":
                yield r"(?:.*\n)*?"
            else:
                yield from self._pattern_of_line(line, learnt)

    def _pattern_of_line(self, line: str, learnt: list[str]) -> Iterator[str]:
        end = 0
        for found in _DIFFERS.finditer(line):
            yield re.escape(line[end : found.start()])
            yield self._pattern_of(found, learnt)
            end = found.end()
        # What is typed as an answer ends its line on a terminal, and is not printed where there is none.
        yield re.escape(line[end:]) if "[y/N]" not in line else r"\n?"

    def _pattern_of(self, found: re.Match[str], learnt: list[str]) -> str:
        kind, shown = str(found.lastgroup), found[0]
        if kind == "answer":
            return ""
        if kind == "time":
            return re.sub(r"\d+", lambda digits: rf"\d{{{len(digits[0])}}}", shown.replace(".", r"\."))
        if kind not in ("address", "token", "id"):
            return _LIKE[kind]
        if shown in self._meant:
            return re.escape(self._meant[shown])
        if shown in learnt:
            return f"(?P=n{learnt.index(shown)})"
        learnt.append(shown)
        return f"(?P<n{len(learnt) - 1}>{_LIKE[kind]})"


def _stripped(text: str) -> str:
    """Without spaces at the ends of lines, and with one end of line at the end."""
    return "".join(f"{line.rstrip()}\n" for line in text.rstrip().splitlines())
