"""What tests of files need: disks that are full, and what is really in a file."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_bytes_max(limit: int) -> Iterator[None]:
    """No file of this process grows beyond limit bytes, as if the disk were full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def holds(path: Path, text: bytes) -> bool:
    """Whether text is anywhere in the database's file or its logs, also where nothing points to it."""
    files = [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-journal", "-shm"))]
    return any(text in file.read_bytes() for file in files if file.exists())


def file_bytes(path: Path) -> int:
    return path.stat().st_size


def names(folder: Path) -> list[str]:
    """Of what is in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
