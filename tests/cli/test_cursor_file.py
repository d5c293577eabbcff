from __future__ import annotations

import os
from pathlib import Path

import pytest

from palimpsest.cli.cursor_file import CursorFile
from palimpsest.errors import UsageError
from palimpsest.protocol.cursor import encode_cursor

_CURSORS = [encode_cursor("0123456789abcdef", position) for position in range(9)]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each time that a file was brought to disk."""
    numbers: list[int] = []
    monkeypatch.setattr(os, "fsync", numbers.append)
    return numbers


def test_it_holds_one_line_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    with CursorFile(path) as file:
        assert file.cursor is None
        assert not path.exists()
        for cursor in _CURSORS:
            file.store(cursor)
            assert path.read_text() == cursor + "\n"
    assert CursorFile(path).cursor == _CURSORS[-1]
    assert os.listdir(tmp_path) == ["cursor"]


def test_the_file_is_replaced_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    with CursorFile(path) as file:
        file.store(_CURSORS[0])
        with open(path) as before:
            file.store(_CURSORS[1])
            assert before.read() == _CURSORS[0] + "\n"
        written = path.stat().st_ino
        file.store(_CURSORS[1])
        assert path.stat().st_ino == written


def test_it_reaches_the_disk_once_a_second_and_at_the_end(tmp_path: Path, synced: list[int]) -> None:
    now = 100.0
    with CursorFile(tmp_path / "cursor", clock=lambda: now) as file:
        for cursor in _CURSORS[:5]:
            file.store(cursor)
        assert len(synced) == 0
        now += 1
        for cursor in _CURSORS[5:]:
            file.store(cursor)
        assert len(synced) == 1
    assert len(synced) == 2
    with CursorFile(tmp_path / "cursor", clock=lambda: now):
        pass
    assert len(synced) == 2


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "cursor")
    with CursorFile(tmp_path / "link") as file:
        file.store(_CURSORS[0])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "cursor").read_text() == _CURSORS[0] + "\n"


@pytest.mark.parametrize(
    "content", [b"", b"notes of mine\n", b"\xff\xfe\x00", b"10123456789abcdef.1\nmore\n", b"1" * 5_000], ids=range(5)
)
def test_another_file_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cursor"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"^--cursor-file: .* holds no cursor"):
        CursorFile(path)
    assert path.read_bytes() == content


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--cursor-file: cannot read .*: Is a directory"):
        CursorFile(tmp_path)
    with pytest.raises(UsageError, match=r"^--cursor-file: cannot write .*: No such file"):
        CursorFile(tmp_path / "missing" / "cursor").store(_CURSORS[0])
