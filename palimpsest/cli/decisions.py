"""Words that say something about a path: `stars=sum` as a rule, `title=theirs` and `title:=JSON` as a decision.

What stands before the first `=` outside of quotes is a path in its written form, as for `update`; nothing is the root.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from palimpsest.cli.assignments import parse_json
from palimpsest.client import ABSENT, BASE, OURS, THEIRS, Choice, Value
from palimpsest.errors import UsageError
from palimpsest.state.paths import format_path, parse_path

_WORD = re.compile(r'(?P<path>(?:\["(?:[^"\\]|\\.)*"\]|[^=])*)=(?P<said>.*)', re.DOTALL)
"""Quoted keys may hold `=`, nothing else of a path does."""

CHOICES: Final[dict[str, Choice]] = {"ours": OURS, "theirs": THEIRS, "base": BASE}
_ABSENT = "absent"


def parse_rules(words: Sequence[str]) -> dict[str, str]:
    """By path; the server knows which rules there are. Raises UsageError, or InvalidPath."""
    rules: dict[str, str] = {}
    for word in words:
        path, rule = _split(word, "PATH=RULE, such as stars=sum")
        if not rule:
            raise UsageError(f"{word!r} names no rule: write PATH=RULE, such as stars=sum")
        _add(rules, path, rule)
    return rules


def parse_decisions(words: Sequence[str]) -> dict[str, Any]:
    """By path, what `resolve` takes. Raises UsageError, InvalidPath, or InvalidValue for broken JSON."""
    decisions: dict[str, Any] = {}
    for word in words:
        path, said = _split(word, "PATH=ours, PATH=theirs, PATH=base, PATH=absent or PATH:=JSON")
        if path.endswith(":"):
            _add(decisions, path[:-1], Value(parse_json(said, what=f"the value in {word!r}")))
        elif said == _ABSENT:
            _add(decisions, path, ABSENT)
        elif said in CHOICES:
            _add(decisions, path, CHOICES[said])
        else:
            # A text may be meant: to take a slip of the pen for one would put it into the document.
            raise UsageError(f"{word!r}: write =ours, =theirs, =base or =absent, and := before a value as JSON")
    return decisions


def choice_of(word: str) -> Choice:
    """Raises UsageError."""
    if word not in CHOICES:
        raise UsageError(f"{word!r} is no side: write {', '.join(CHOICES)}")
    return CHOICES[word]


def quoted(written: str) -> str:
    """A path as words about it take it: keys in which `=` or `:` would end it are in quotes."""
    text = ""
    for step in parse_path(written):
        bare = isinstance(step, int) or not set(step) & {"=", ":"}
        part = format_path((step,)) if bare else f"[{msgspec.json.encode(step).decode()}]"
        text += part if not text or part.startswith("[") else f".{part}"
    return text


def _split(word: str, wanted: str) -> tuple[str, str]:
    found = _WORD.fullmatch(word)
    if found is None:
        raise UsageError(f"{word!r}: write {wanted}")
    return found["path"], found["said"]


def _add(decided: dict[str, Any], written: str, said: Any) -> None:
    """Under the one way in which its path is written."""
    path = format_path(parse_path(written))
    if path in decided:
        raise UsageError(f"{path or 'the root'} is spoken of twice")
    decided[path] = said
