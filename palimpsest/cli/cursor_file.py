"""A cursor that is kept in a file: one line of text, which is replaced as a whole.

A new cursor is written to a file beside it that then takes its place, so that there is a whole one at any moment. That survives
the end of the process, whatever ends it. For the machine's end it is brought to disk too, once a second and when the file is
closed: what is lost then are changes that are printed again, never changes that are left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from palimpsest.cli.starting import is_cursor
from palimpsest.errors import UsageError

_SYNC_SECONDS = 1.0
_LINE_BYTES_MAX = 1_000
"""More than any cursor has: what is longer is another file, which need not be read to see that."""


class CursorFile:
    """A context manager. `cursor`: what the file holds; None where it is not there."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: in seconds. Raises UsageError where the file cannot be read, or holds something else."""
        self._path = Path(os.path.realpath(path))  # a link stays one, and what it points to is replaced
        self._new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        self._clock = clock
        self._synced_at = clock()
        self._is_synced = True
        self.cursor = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_synced and self.cursor is not None:
            self._write(self.cursor, sync=True)

    def store(self, cursor: str) -> None:
        """Cheap where nothing is new. Raises UsageError where it cannot be written."""
        if cursor == self.cursor:
            return
        now = self._clock()
        sync = now - self._synced_at >= _SYNC_SECONDS
        self._write(cursor, sync=sync)
        self.cursor = cursor
        self._is_synced = sync
        if sync:
            self._synced_at = now

    def _read(self) -> str | None:
        try:
            with open(self._path, "rb") as file:
                line = file.read(_LINE_BYTES_MAX).decode(errors="replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"--cursor-file: cannot read {self._path}: {error.strerror}") from None
        if not is_cursor(line):
            raise UsageError(
                f"--cursor-file: {self._path} holds no cursor: name another file, or delete this one to begin anew"
            )
        return line

    def _write(self, cursor: str, *, sync: bool) -> None:
        try:
            with open(self._new, "w", encoding="ascii", newline="\n") as file:
                file.write(cursor + "\n")
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(self._new, self._path)
        except OSError as error:
            raise UsageError(f"--cursor-file: cannot write {self._path}: {error.strerror}") from None
