"""Command lines against a server of their own, and small git repositories, made by git itself, always the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal
from typer.testing import CliRunner

from palimpsest.cli.main import app
from palimpsest.embedded import Server
from palimpsest.testing import RunningServer, running_server

if TYPE_CHECKING:
    from typer.testing import Result


class GitFolder:
    """A repository that a test writes. Names of files are bytes, as in git. Commits are a minute apart."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._minute = 0
        path.mkdir()
        self.run("init", "--quiet", "--initial-branch=main")

    def run(self, *arguments: str | bytes) -> str:
        moment = f"2019-01-01T00:{self._minute:02}:00+01:00"
        environment = os.environ | {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ana Müller",
            "GIT_AUTHOR_EMAIL": "ana@example.org",
            "GIT_COMMITTER_NAME": "Bo",
            "GIT_COMMITTER_EMAIL": "bo@example.org",
            "GIT_AUTHOR_DATE": moment,
            "GIT_COMMITTER_DATE": moment,
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=environment, check=True, capture_output=True, timeout=60
        )
        return done.stdout.decode().strip()

    def write(self, name: bytes, content: bytes, *, mode: int = 0o644) -> None:
        target = os.path.join(os.fsencode(self.path), name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(content)
        os.chmod(target, mode)

    def link(self, name: bytes, target: bytes) -> None:
        os.symlink(target, os.path.join(os.fsencode(self.path), name))

    def remove(self, name: bytes) -> None:
        os.unlink(os.path.join(os.fsencode(self.path), name))

    def commit(self, message: str, *options: str) -> str:
        """Everything that is in the folder. Returns the commit's name."""
        self._minute += 1
        self.run("add", "--all")
        self.run("commit", "--quiet", "--allow-empty", "-m", message, *options)
        return self.run("rev-parse", "HEAD")


@pytest.fixture(scope="session")
def new_git_folder() -> type[GitFolder]:
    """Makes a repository at a path, for what several tests share."""
    return GitFolder


@pytest.fixture
def git_folder(tmp_path: Path) -> Callable[[str], GitFolder]:
    return lambda name: GitFolder(tmp_path / name)


@pytest.fixture
def odd_folder(git_folder: Callable[[str], GitFolder]) -> GitFolder:
    """A history with all that is awkward: see the commits' messages."""
    folder = git_folder("odd")
    folder.write(b"README.md", b"# Odd\n\nfirst\n")
    folder.write(b"empty", b"")
    folder.write(b"src/no newline", b"a\nb")
    folder.write(b"src/windows.txt", b"a\r\nb\r\n")
    folder.commit("first files\n\nwith a body: of two\nlines")
    folder.write(b"odd/50%*.txt", b"percent and star\n")
    folder.write("odd/ünï 文.txt".encode(), b"unicode\n")
    folder.write(b"odd/latin-\xe9.txt", b"the name is not UTF-8\n")
    folder.write(b"odd/tab\tand\nnewline", b"control characters\n")
    folder.write(b"$import", b"a file that is called like the progress document\n")
    folder.write(b":colon", b"looks like a raw entry\n")
    folder.commit("odd names")
    folder.write(b"binary.bin", b"\0\1\2")
    folder.write(b"latin.txt", b"caf\xe9\n")
    folder.link(b"link", b"README.md")
    folder.write(b"becomes-binary", b"text at first\n")
    folder.commit("binary, not UTF-8, a symbolic link")
    folder.write(b"README.md", b"# Odd\n\nsecond\n\xf0\x9f\x8e\x89\n")
    folder.write(b"becomes-binary", b"\0")
    folder.write(b"latin.txt", "café\n".encode())
    folder.write(b"src/windows.txt", b"a\r\nb\r\n", mode=0o755)
    folder.commit("text turns binary, text turns UTF-8, a mode changes")
    folder.run("mv", "README.md", "READYOU.md")
    folder.remove(b"empty")
    folder.commit("a rename and a deletion")
    folder.commit("nothing at all")
    folder.run("checkout", "--quiet", "-b", "side", "HEAD~2")
    folder.write(b"side.txt", b"side\n")
    folder.commit("on the side: first")
    folder.write(b"side.txt", b"side\nagain\n")
    folder.commit("on the side: second")
    folder.run("checkout", "--quiet", "main")
    folder.write(b"READYOU.md", b"# Odd\n\nthird\n")
    folder.commit("meanwhile on main")
    folder.run("merge", "--quiet", "--no-ff", "-m", "merge the side", "side")
    folder.write(b"empty", b"created again\n")
    folder.write(b"README.md", b"also created again\n")
    folder.commit("two come back")
    return folder


class CommandLine:
    """Runs command lines against a server. stdin: what they read."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, ["--url", self.url, *words], input=stdin)


@pytest.fixture
def palimpsest(palimpsest_server: RunningServer) -> CommandLine:
    """Command lines against an empty server."""
    return CommandLine(palimpsest_server.url)


@pytest.fixture
def another() -> Iterator[CommandLine]:
    """Command lines against another empty server."""
    with running_server() as server:
        yield CommandLine(server.url)


class StoreCommandLine(CommandLine):
    """Against a server on files. path: of its store. The server can be stopped before the block ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._exits = ExitStack()
        portal = self._exits.enter_context(start_blocking_portal("asyncio"))
        server = self._exits.enter_context(portal.wrap_async_context_manager(Server(path)))
        super().__init__(server.url)

    def __enter__(self) -> StoreCommandLine:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._exits.close()


@pytest.fixture
def serve_store() -> Callable[[Path], StoreCommandLine]:
    return StoreCommandLine


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoreCommandLine]:
    """Command lines against an empty server on files."""
    with StoreCommandLine(tmp_path / "state.db") as line:
        yield line
