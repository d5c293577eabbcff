from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.git import texts as texts_module
from palimpsest.cli.git.repository import Blobs, File, FileChange, Repository
from palimpsest.cli.git.texts import Skip, TextLimits, Texts, encoded_bytes, text_value, value_text
from palimpsest.state.values import encode_value

ROOMY = TextLimits(document_bytes_max=1_000_000, name_bytes_max=512)


@given(st.text(st.characters(codec="utf-8")))
def test_lines_are_the_text_exactly(text: str) -> None:
    assert value_text(text_value("100644", text)) == text


def test_a_value_is_a_mode_and_lines() -> None:
    assert text_value("100644", "a\r\nb\n") == {"mode": "100644", "lines": ["a\r", "b", ""]}
    assert text_value("100755", "") == {"mode": "100755", "lines": [""]}


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1))
def test_the_size_of_a_value_is_that_of_its_encoding(lines: list[str]) -> None:
    value = {"mode": "100644", "lines": lines}
    assert encoded_bytes(value) == len(encode_value(value))


@pytest.fixture
def odd(odd_folder) -> Iterator[tuple[dict[bytes, File], Blobs]]:
    """The newest file at every path that the history ever had, and a reader of contents."""
    repository = Repository(odd_folder.path)
    commits = repository.walk(repository.resolve("HEAD"))
    files = {change.path: change.after for commit in commits for change in commit.changes if change.after}
    with repository.blobs() as blobs:
        yield files, blobs


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"src/no newline", {"mode": "100644", "lines": ["a", "b"]}),
        (b"src/windows.txt", {"mode": "100755", "lines": ["a\r", "b\r", ""]}),
        (b"binary.bin", Skip.BINARY),
        (b"becomes-binary", Skip.BINARY),
        (b"latin.txt", {"mode": "100644", "lines": ["café", ""]}),
        (b"link", Skip.SYMLINK),
    ],
)
def test_a_file_is_a_value_or_says_why_not(odd, path: bytes, expected: object) -> None:
    files, blobs = odd
    assert Texts(blobs, prefix="odd/", limits=ROOMY).value(path, files[path]) == expected


def test_what_git_does_not_hold_as_text_is_never_asked_for(odd) -> None:
    files, blobs = odd
    module = File("160000", "0" * 40)
    texts = Texts(blobs, prefix="", limits=ROOMY)
    texts.read([FileChange(b"module", None, module), FileChange(b"link", None, files[b"link"])])
    assert texts.value(b"module", module) is Skip.SUBMODULE


def test_the_limits_are_those_of_the_encoded_document_to_the_byte(odd) -> None:
    files, blobs = odd
    path = b"src/windows.txt"
    size = encoded_bytes({"mode": "100755", "lines": ["a\r", "b\r", ""]})
    fits = TextLimits(document_bytes_max=size, name_bytes_max=512)
    short = TextLimits(document_bytes_max=size - 1, name_bytes_max=512)
    tiny = TextLimits(document_bytes_max=2, name_bytes_max=512)
    assert isinstance(Texts(blobs, prefix="", limits=fits).value(path, files[path]), dict)
    assert Texts(blobs, prefix="", limits=short).value(path, files[path]) is Skip.TOO_LARGE
    assert Texts(blobs, prefix="", limits=tiny).value(path, files[path]) is Skip.TOO_LARGE


def test_a_name_is_measured_as_it_is_encoded(odd) -> None:
    files, blobs = odd
    path = b"odd/latin-\xe9.txt"
    exact = len("p/odd/latin-%E9.txt")
    for name_bytes_max, kind in ((exact, dict), (exact - 1, Skip)):
        limits = TextLimits(document_bytes_max=1_000, name_bytes_max=name_bytes_max)
        assert isinstance(Texts(blobs, prefix="p/", limits=limits).value(path, files[path]), kind)


class CountingBlobs:
    """Contents of 600 bytes by name, and which names were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def read(self, names: Sequence[str], *, bytes_max: int) -> dict[str, bytes | None]:
        self.asked += names
        return {name: (name * 600).encode() for name in names}


def test_contents_are_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts_module, "CACHE_BYTES_MAX", 1_000)
    blobs = CountingBlobs()
    texts = Texts(blobs, prefix="", limits=ROOMY)  # type: ignore[arg-type]
    changes = [FileChange(b"f", File("100644", before), File("100644", after)) for before, after in ("ab", "bc", "cd")]
    for change in changes:
        texts.read([change])
        assert texts.value(b"f", change.before) == text_value("100644", change.before.blob * 600)
        assert texts.value(b"f", change.after) == text_value("100644", change.after.blob * 600)
    assert blobs.asked == ["a", "b", "c", "d"]  # what was written last is still there when it is replaced
    assert texts.value(b"f", File("100644", "a")) == text_value("100644", "a" * 600)
    assert blobs.asked[-1] == "a"
