from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from palimpsest.errors import StoreLocked
from palimpsest.storage.locking import FileLock

STORE = Path("state.db")
HOLDER = """
import sys, time
from pathlib import Path
from palimpsest.storage.locking import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.acquire(Path("state.db"))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_one_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    first.acquire(STORE)
    with pytest.raises(StoreLocked, match=f"state.db is open in process {os.getpid()}$") as caught:
        second.acquire(STORE)
    assert caught.value.path == "state.db"
    first.release()
    second.acquire(STORE)
    second.release()


def test_releasing_what_is_not_held_does_nothing(tmp_path: Path) -> None:
    held, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    held.acquire(STORE)
    other.release()
    with pytest.raises(StoreLocked):
        other.acquire(STORE)
    other.release()
    held.release()
    held.release()


def test_a_process_that_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        lock = FileLock(path)
        with pytest.raises(StoreLocked, match=f"process {holder.pid}$"):
            lock.acquire(STORE)
        holder.kill()
        holder.wait()
        lock.acquire(STORE)
        lock.release()


def test_a_program_that_is_started_meanwhile_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock, second = FileLock(path), FileLock(path)
    lock.acquire(STORE)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False
    ) as child:
        lock.release()
        second.acquire(STORE)
        second.release()
        child.kill()


def test_a_folder_that_does_not_exist_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "none" / "lock").acquire(STORE)
