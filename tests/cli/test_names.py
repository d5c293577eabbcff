from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.git.names import check_prefix, document_name, is_branch_name, path_of, progress_name
from palimpsest.errors import UsageError
from palimpsest.state.names import check_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"docs/a b.txt", "docs/a b.txt"),
        (b"docs/50%*.txt", "docs/50%25%2A.txt"),
        (b"latin-\xe9.txt", "latin-%E9.txt"),
        ("ünï/文".encode(), "ünï/文"),
        (b"tab\tand\nnewline", "tab%09and%0Anewline"),
        (b"next\xc2\x85line", "next%C2%85line"),
        (b"$import", "%24import"),
        (b"cash/$5", "cash/$5"),
    ],
)
def test_names_are_paths_with_as_little_encoded_as_can_be(path: bytes, name: str) -> None:
    assert document_name("prefix/", path) == f"prefix/{name}"
    assert path_of("prefix/", f"prefix/{name}") == path


segments = st.binary(min_size=1, max_size=12).filter(
    lambda part: not set(part) & {0, 0x2F} and part not in (b".", b"..")
)


@given(st.lists(segments, min_size=1, max_size=4).map(b"/".join), st.sampled_from(["", "p/", "a b/c%d/"]))
def test_every_path_of_git_has_a_name_of_its_own(path: bytes, prefix: str) -> None:
    name = document_name(prefix, path)
    check_name(name)
    assert path_of(prefix, name) == path
    assert name != progress_name(prefix)


def test_a_prefix_ends_with_a_slash() -> None:
    assert [check_prefix(prefix) for prefix in ("", "flask", "flask/", "a/b")] == ["", "flask/", "flask/", "a/b/"]
    with pytest.raises(UsageError, match="starts with a slash"):
        check_prefix("/flask")


def test_what_a_branch_cannot_be_called() -> None:
    for name in ("topic", "feature/ünï 文", "origin/v1.0"):
        assert is_branch_name(name, name_bytes_max=64)
    for name in ("", "$versions", "a//b", "a:1", "a/*", "x" * 65):
        assert not is_branch_name(name, name_bytes_max=64)
