"""Processes of `palimpsest` and of Python without the price of a new interpreter for each.

A *starter* has imported the command line once. Asked over a socket, it forks, and the fork takes the asker's arguments,
environment, working directory and standard files, and is then what `palimpsest ...` or `python ...` would be. The asker is a
program of a few lines, so that a shell can call it by these names, in pipes and with redirections.

    with Starter() as starter:
        subprocess.run(["palimpsest", "get", "notes/1"], env=starter.environment(), ...)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import runpy
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

ROOT = Path(__file__).parent.parent

_KILLED = 137
"""How the asker ends where the fork said nothing any more."""

_ASKER = """\
#!{python} -IS
import json, os, signal, socket, sys
said = json.dumps([sys.argv, dict(os.environ), os.getcwd()]).encode()
link = socket.socket(socket.AF_UNIX)
link.connect({path!r})
socket.send_fds(link, [len(said).to_bytes(4, "big")], [0, 1, 2])
link.sendall(said)
pid = int.from_bytes(link.recv(4), "big")
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
code = link.recv(1)
sys.exit(code[0] if code else {killed})
"""


class Starter:
    """A context manager. folder: has the programs `palimpsest`, `python` and `python3`."""

    def __init__(self) -> None:
        self.folder: Path
        self._process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self.folder = Path(
            tempfile.mkdtemp(prefix="starter-")
        )  # a socket's path must be short, and those of tests are not
        path = str(self.folder / "socket")
        asker = _ASKER.format(python=sys.executable, path=path, killed=_KILLED)
        for name in ("palimpsest", "python", "python3"):
            program = self.folder / name
            program.write_text(asker, encoding="utf-8")
            program.chmod(0o755)
        command = [sys.executable, "-W", "error", __file__, path, str(self.folder / "python")]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate()  # it ends when its input does
        shutil.rmtree(self.folder)

    def environment(self, **more: str) -> dict[str, str]:
        """This process's, with the starter's programs first."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PALIMPSEST_", "PYTEST_"))}
        return {**kept, "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}", **more}


# --- the starter's own process ---------------------------------------------------------------------------------------


def _start_until_told(path: str, python: str) -> None:
    """Ends when its standard input does. Forks live on."""
    _warm_up()
    sys.executable = python  # what a fork starts is forked as well
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            link, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _become(link)
            link.close()
            _bury()
        _bury()


def _warm_up() -> None:
    """Imports what a command would, and builds what is the same for all of them."""
    import typer
    import uvloop  # noqa: F401

    import palimpsest.cli.main
    import palimpsest.server.archiver_process

    typer.main.get_command(palimpsest.cli.main.app).make_context("palimpsest", ["--timeout", "1", "list"])


def _bury() -> None:
    """Forks say themselves how they end; all that is left of them is to be taken note of."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _become(link: socket.socket) -> NoReturn:
    """Reads what is to be run, runs it, and says its exit code."""
    length, files, _, _ = socket.recv_fds(link, 4, 3)
    words, environment, folder = json.loads(_read(link, int.from_bytes(length, "big")))
    link.sendall(os.getpid().to_bytes(4, "big"))
    # From here on nothing comes but the end: where the asker was killed, SIGIO kills the fork.
    fcntl.fcntl(link, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(link, fcntl.F_SETFL, os.O_ASYNC)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    # As on a terminal, where a line is seen once it is whole, so that both streams keep their common order.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
    code = _exit_code(words)
    with contextlib.suppress(OSError):  # who reads the output may be gone
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        link.sendall(bytes([code]))
    os._exit(code)


def _read(link: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += link.recv(length - len(data))
    return data


def _exit_code(words: list[str]) -> int:
    try:
        _run(Path(words[0]).name, words[1:])
    except SystemExit as end:
        return _code_of(end.code)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _code_of(said: Any) -> int:
    if said is None or isinstance(said, int):
        return said or 0
    print(said, file=sys.stderr)
    return 1


def _run(program: str, words: list[str]) -> None:
    """`palimpsest ...`, `python -m MODULE ...`, `python -c CODE ...` or `python FILE ...`."""
    if program == "palimpsest":
        from palimpsest.cli.main import main

        sys.argv = [program, *words]
        main()
    elif words[0] == "-m":
        sys.argv = words[1:]
        sys.path.insert(0, os.getcwd())
        sys.modules.pop(words[1], None)  # it is run as a script, and not as the module that was imported
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).parent.resolve()))
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    del sys.path[0]  # this folder has modules of tests
    _start_until_told(sys.argv[1], sys.argv[2])
