"""What a git repository holds, read through the `git` program.

Two long-running processes do the work: `git log --raw -z` gives commits with the files that each of them changes against its
first parent, and `git cat-file --batch` gives the contents of files. Names of files are bytes here, as they are in git. The
user's own configuration of git is kept from changing the output; nothing in the repository is ever written.
"""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, NamedTuple, Self

import msgspec

from palimpsest.cli.git.lines import Link

_READ_BYTES = 1 << 16

_ASK_BLOBS_MAX = 256
"""Object names asked for at once: 256 names are at most 17 kB, so that writing them cannot block on a pipe that is full
(64 kB) while git blocks on its answers."""

_SUBMODULE = "160000"
_SYMLINK = "120000"
_NO_MODE = "000000"

_BRANCHES = ("refs/heads", "refs/remotes")


class GitFailed(Exception):
    """Git is not installed, the path is no repository, or a commit is not there. The message is one line."""


class File(NamedTuple):
    """What a commit holds at a path: git's mode, six octal digits, and the object's name, 40 or 64 hex digits."""

    mode: str
    blob: str

    @property
    def is_symlink(self) -> bool:
        return self.mode == _SYMLINK

    @property
    def is_submodule(self) -> bool:
        return self.mode == _SUBMODULE


class FileChange(NamedTuple):
    """One path that a commit touches. before, after: None where there is nothing; never both."""

    path: bytes
    before: File | None
    after: File | None


class Commit(msgspec.Struct, frozen=True):
    """A commit as its first parent sees it.

    author: `Name <address>`. authored: ISO 8601 with the author's own offset, or "" where git cannot say. message: whole,
    without newlines at its end. changes: against the first parent, in the order of the paths' bytes; a rename is a
    deletion and an addition.
    """

    sha: str
    author: str
    authored: str
    message: str
    changes: tuple[FileChange, ...]
    is_merge: bool = False


class Repository:
    """A git repository, bare or not. path: any folder in it."""

    def __init__(self, path: Path) -> None:
        """Raises GitFailed where there is no repository."""
        self.path = path
        self._git = ["git", "-C", str(path), "-c", "log.showRoot=true", "-c", "diff.orderFile=/dev/null"]
        self._run("rev-parse", "--git-dir")

    @property
    def name(self) -> str:
        """The repository's folder, without `.git`: what a person would call it."""
        where = Path(self._run("rev-parse", "--absolute-git-dir").rstrip("\n"))
        folder = where.parent if where.name == ".git" else where
        return folder.name.removesuffix(".git")

    def resolve(self, ref: str) -> str:
        """The commit that `ref` names. Raises GitFailed if there is none."""
        return self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", what=ref).strip()

    def first_parents(self, tip: str) -> list[str]:
        """Every commit from the root to `tip` along first parents, oldest first."""
        return self._run("rev-list", "--first-parent", "--reverse", tip).split()

    def times(self, tip: str) -> dict[str, int]:
        """When each of these commits came to be on this line, in seconds since the epoch: the date that it was committed, and
        never before the one before it. Dates of git may run backwards."""
        newest, found = 0, {}
        for line in self._run("log", "--first-parent", "--reverse", "--format=%H %ct", tip, "--").splitlines():
            sha, date = line.split()
            newest = found[sha] = max(newest, int(date))
        return found

    def links(self, tip: str, *, after: str | None = None) -> list[Link]:
        """Every commit that `tip` comes from and `after` does not, parents before children; always in the same order."""
        which = [tip] if after is None else [tip, f"^{after}"]
        lines = self._run(
            "rev-list", "--topo-order", "--reverse", "--parents", "--timestamp", *which, "--"
        ).splitlines()
        found = (line.split() for line in lines)
        return [Link(sha, tuple(parents), int(committed)) for committed, sha, *parents in found]

    def branches(self) -> dict[str, list[str]]:
        """The names of branches by the commits that they point at: of local ones `topic`, before remote ones, `origin/topic`."""
        found: dict[str, list[str]] = {}
        for line in self._run("for-each-ref", "--format=%(objectname) %(refname)", *_BRANCHES).splitlines():
            sha, ref = line.split(" ", 1)
            found.setdefault(sha, []).append(ref.split("/", 2)[2])
        return found

    def tree(self, sha: str) -> dict[bytes, File]:
        """Every file of a commit, by path."""
        found: dict[bytes, File] = {}
        for entry in self._read("ls-tree", "-r", "-z", "--full-tree", sha).split(b"\0")[:-1]:
            about, path = entry.split(b"\t", 1)
            mode, _, blob = about.decode().split(" ")
            found[path] = File(mode, blob)
        return found

    def walk(self, tip: str, *, after: str | None = None) -> Generator[Commit, None, None]:
        """The commits that `first_parents` names, or those behind `after`, which must be one of them."""
        return self._log("--reverse", tip if after is None else f"{after}..{tip}")

    def commits(self, order: Sequence[str]) -> Generator[Commit, None, None]:
        """These commits, in this order."""
        if order:  # asked for none, git gives the newest
            yield from self._log("--no-walk=unsorted", "--stdin", wanted=order)

    def _log(self, *which: str, wanted: Sequence[str] = ()) -> Generator[Commit, None, None]:
        """wanted: commits that git is told of on its standard input."""
        command = [
            *(*self._git, "log", "--first-parent", "-m", "--raw", "-z", "--no-abbrev", "--no-renames"),
            *("--no-ext-diff", "--no-relative", "--no-color", "--no-notes", "--no-mailmap", "--no-show-signature"),
            *("--ignore-submodules=none", "--encoding=UTF-8", "--format=%H%x00%P%x00%an <%ae>%x00%aI%x00%B%x00"),
            *(*which, "--"),
        ]
        with (
            _file_of(wanted) as told,
            subprocess.Popen(command, stdin=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
        ):
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                yield from _parse_log(_split_at_nul(process.stdout))
            except BaseException:
                process.kill()
                raise
            complaint = process.stderr.read()
        if process.returncode:
            raise GitFailed(_first_line(complaint) or f"git log ended with {process.returncode}")

    def blobs(self) -> Blobs:
        """A reader of files' contents; a context manager."""
        return Blobs([*self._git, "cat-file", "--batch"])

    def _run(self, *arguments: str, what: str = "") -> str:
        return self._read(*arguments, what=what).decode(errors="surrogateescape")

    def _read(self, *arguments: str, what: str = "") -> bytes:
        try:
            done = subprocess.run([*self._git, *arguments], capture_output=True, check=False)
        except OSError as error:
            raise GitFailed(f"git could not be started: {error}") from error
        if done.returncode:
            complaint = _first_line(done.stderr) or (f"no commit is called {what!r}" if what else "git failed")
            raise GitFailed(f"{self.path}: {complaint}")
        return done.stdout


class Blobs:
    """Reads contents of objects by name, through one `git cat-file` process. For one thread at a time."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, names: Sequence[str], *, bytes_max: int) -> dict[str, bytes | None]:
        """Contents by name; None for what is larger than bytes_max, which is never held in memory.

        Raises GitFailed where the repository does not hold an object (a partial or damaged clone).
        """
        contents: dict[str, bytes | None] = {}
        for start in range(0, len(names), _ASK_BLOBS_MAX):
            self._ask(names[start : start + _ASK_BLOBS_MAX])
            for name in names[start : start + _ASK_BLOBS_MAX]:
                contents[name] = self._answer(name, bytes_max)
        return contents

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, names: Sequence[str]) -> None:
        into = self._process.stdin
        assert into is not None
        into.write("".join(f"{name}\n" for name in names).encode())
        into.flush()

    def _answer(self, name: str, bytes_max: int) -> bytes | None:
        """Reads `<name> <type> <size>`, the content and a newline; or `<name> missing`."""
        out = self._process.stdout
        assert out is not None
        header = out.readline().split()
        if len(header) != 3:
            raise GitFailed(f"the repository does not hold the object {name}")
        size = int(header[2])
        if size <= bytes_max:
            return out.read(size + 1)[:-1]
        for start in range(0, size + 1, _READ_BYTES):
            out.read(min(size + 1 - start, _READ_BYTES))
        return None


def _file_of(lines: Sequence[str]) -> IO[bytes]:
    """To be read from its start, and gone once it is closed. A pipe would be full long before git answers."""
    file = TemporaryFile()  # noqa: SIM115  # whoever asked for it closes it
    file.write("".join(f"{line}\n" for line in lines).encode())
    file.seek(0)
    return file


def _split_at_nul(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while data := stream.read(_READ_BYTES):
        *whole, rest = (rest + data).split(b"\0")
        yield from whole
    if rest:
        yield rest


def _parse_log(tokens: Iterator[bytes]) -> Iterator[Commit]:
    """Commits from what `git log` prints: five fields and an empty one each, then pairs of a raw entry and a path.

    An entry starts with a colon, which no commit's name does; a path is only ever read behind an entry.
    """
    sha = next(tokens, None)
    while sha is not None:
        parents, author, authored, message, _ = (next(tokens).decode(errors="replace") for _ in range(5))
        changes: list[FileChange] = []
        following = next(tokens, None)
        while following is not None and following.lstrip(b"\n").startswith(b":"):
            changes.append(_parse_entry(following.decode(), next(tokens)))
            following = next(tokens, None)
        changes.sort(key=attrgetter("path"))
        yield Commit(sha.decode(), author, authored, message.rstrip("\n"), tuple(changes), " " in parents)
        sha = following


def _parse_entry(entry: str, path: bytes) -> FileChange:
    """entry: `:<mode before> <mode after> <object before> <object after> <status>`."""
    mode_before, mode_after, blob_before, blob_after, _ = entry.lstrip("\n:").split(" ")
    before = None if mode_before == _NO_MODE else File(mode_before, blob_before)
    after = None if mode_after == _NO_MODE else File(mode_after, blob_after)
    return FileChange(path, before, after)


def _first_line(complaint: bytes) -> str:
    return complaint.decode(errors="replace").strip().partition("\n")[0]
