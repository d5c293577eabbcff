"""Commands as a page shows them, and a bash that they are typed into."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from blocks_kit import Block

LANGUAGES = ("console", "sh", "bash")

ONLY_SHOWN = {
    "pip": "it changes the environment",
    "git": "what it clones is elsewhere",
    "cd": "it goes to what was cloned",
    "make": "a test does not start the tests, nor a server that nobody stops; its targets are looked up",
    "systemctl": "it is about the whole machine",
    "journalctl": "it is about the whole machine",
    "podman": "no machine of a test has to have it",
    "docker": "no machine of a test has to have it",
}
"""Commands, by their first word (behind `sudo`), that are not typed into it, and why."""

_SECONDS = 30
_END = "\x01"
"""Begins the line behind all that a command prints."""

_ENDED = "\x02\n"
"""The last line of what was started in the background."""

_IN_BACKGROUND = (
    "( {typed} 2>> .log & child=$!; trap 'kill $child' TERM; wait $child; wait $child; printf '\x02\\n' ) &\n"
)


class Command(msgspec.Struct, frozen=True):
    """typed: without the prompt. shown: what the page says that it prints; "" where it says nothing."""

    typed: str
    shown: str

    @property
    def program(self) -> str:
        words = [word for word in self.typed.split() if word != "sudo" and not re.match(r"\w+=", word)]
        return words[0] if words else ""

    @property
    def serves(self) -> bool:
        """Whether it goes on until it is stopped, and listens at an address."""
        return re.match(r"palimpsest (--\S+ \S+ )*(serve|gateway)\b(?!.* --(check|help))", self.typed) is not None

    @property
    def answers(self) -> str:
        """What is typed at the questions that it asks."""
        return "".join(f"{answer}\n" for answer in re.findall(r"\[y/N\] (\w+)$", self.shown, re.MULTILINE))


def commands_of(block: Block) -> Iterator[Command]:
    """Without prompts, the lines are one command; what it prints is the block behind it. A backslash at its end makes a line go on."""
    text = re.sub(r"\\\n(> )? *", "", block.text)
    if not re.search(r"^\$ ", text, re.MULTILINE):
        lines = (Command(line, "") for line in text.splitlines() if line.strip() and not line.startswith("#"))
        typed = [line.typed for line in lines if line.program not in ONLY_SHOWN]
        if typed:
            yield Command(" && ".join(typed), block.printed or "")
        return
    above, *each_typed = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not above, f"{block.place}: something is above the first prompt"
    for each in each_typed:
        line, _, shown = each.partition("\n")
        command = Command(line, shown)
        if command.program not in ONLY_SHOWN:
            yield command


class Shell:
    """A bash that takes commands one after another and keeps its variables and its directory. A context manager."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        reading, self._typing = os.pipe()
        self._process = subprocess.Popen(
            [tool("bash"), "--norc", "--noprofile", f"/dev/fd/{reading}"],
            cwd=folder,
            env=environment,
            pass_fds=[reading],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        os.close(reading)

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._process.poll() is None:
                self.stop()
        finally:
            os.close(self._typing)
            self._process.communicate()

    def run(self, typed: str, answers: str = "") -> tuple[str, int]:
        """What it prints on either stream, and its exit code."""
        answered = self._folder / ".answers"
        answered.write_text(answers, encoding="utf-8")
        self._type(f"{{ {typed}\n}} < {shlex.quote(str(answered))}; printf '\\n{_END}%d\\n' $?\n")
        with self._in_time(typed):
            lines = [self._line()]
            while not lines[-1].startswith(_END):
                lines.append(self._line())
        code = int(lines.pop().removeprefix(_END))
        return "".join(line for line in lines if line != _ENDED).removesuffix("\n"), code

    def start(self, typed: str, lines: int) -> str:
        """In the background. Returns its first lines, once they are there. What it logs goes into a file."""
        self._type(_IN_BACKGROUND.format(typed=typed.rstrip("& ")))
        with self._in_time(typed):
            found = [self._line() for _ in range(lines)]
            if _ENDED in found:
                raise EOFError
        return "".join(found)

    def stop(self) -> None:
        """Ends all that was started, as a service is ended, and waits for it."""
        self.run('running=$(jobs -p); if [ -n "$running" ]; then kill $running; wait; fi')

    def _type(self, text: str) -> None:
        os.write(self._typing, text.encode())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EOFError
        return line

    @contextmanager
    def _in_time(self, typed: str) -> Iterator[None]:
        """What takes too long is killed, with the shell and all that it has started."""
        alarm = threading.Timer(_SECONDS, os.killpg, (self._process.pid, signal.SIGKILL))
        alarm.start()
        try:
            yield
        except EOFError as error:
            log = self._folder / ".log"
            logged = log.read_text(encoding="utf-8") if log.exists() else ""
            raise AssertionError(f"{typed}: the shell ended, or it took more than {_SECONDS} s\n{logged}") from error
        finally:
            alarm.cancel()


def tool(name: str) -> str:
    """Its path. Skips the test where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"this machine has no {name}")
    return found
