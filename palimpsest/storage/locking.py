"""One writer at a time: a file that is locked by the operating system for as long as a store is open for writing.

It knows nothing of what is in the store. The lock belongs to the open file, so a second object in the same process is
refused like a second process, and a process that dies, however it dies, leaves no lock behind. The file itself stays: to
remove it would let a third process lock a new file while a second still waits for the old one.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from palimpsest.errors import StoreLocked


class FileLock:
    """An exclusive lock on `path`, held from `acquire` until `release`. A child made by fork shares it, as it does the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, store: Path) -> None:
        """store: what the lock guards, for the message. Raises StoreLocked, at once, where someone else holds it, and
        OSError where the file cannot be made."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StoreLocked(f"{store} is open in process {holder or '(unknown)'}", path=str(store)) from error
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Does nothing where the lock is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Closing alone would leave it to a program that is just being started, until that one closes its copy.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
