from __future__ import annotations

from collections.abc import Iterator

import pytest

from palimpsest.cli.git.plan import Part, Skipped, Step, StepLimits, parts_of, steps_of, write_of
from palimpsest.cli.git.repository import Commit, Repository
from palimpsest.cli.git.texts import Skip, TextLimits, Texts, text_value
from palimpsest.state.delta import Delta

LIMITS = TextLimits(document_bytes_max=1_000_000, name_bytes_max=512)
WIDE = StepLimits(documents_max=1_000, bytes_max=1_000_000)


@pytest.fixture
def odd(odd_folder) -> Iterator[tuple[list[Commit], Texts]]:
    repository = Repository(odd_folder.path)
    with repository.blobs() as blobs:
        yield list(repository.walk(repository.resolve("HEAD"))), Texts(blobs, prefix="odd/", limits=LIMITS)


def steps(commits: list[Commit], texts: Texts, *, done: int = 0, limits: StepLimits = WIDE) -> list[Step]:
    return list(steps_of(commits, texts, prefix="odd/", skipped=set(), done=done, limits=limits))


def test_replaying_the_parts_gives_the_last_tree(odd) -> None:
    commits, texts = odd
    state: dict[str, object] = {}
    for commit in commits:
        for part in parts_of(commit, texts, prefix="odd/", skipped=set()):
            assert state.pop(part.document, None) == part.before
            if part.after is not None:
                state[part.document] = part.after
    assert sorted(state) == [
        "odd/%24import",
        "odd/:colon",
        "odd/README.md",
        "odd/READYOU.md",
        "odd/empty",
        "odd/latin.txt",
        "odd/odd/50%25%2A.txt",
        "odd/odd/latin-%E9.txt",
        "odd/odd/tab%09and%0Anewline",
        "odd/odd/ünï 文.txt",
        "odd/side.txt",
        "odd/src/no newline",
        "odd/src/windows.txt",
    ]


def test_what_is_skipped_is_named_once_with_its_reason(odd) -> None:
    commits, texts = odd
    skipped: set[Skipped] = set()
    for commit in commits:
        list(parts_of(commit, texts, prefix="odd/", skipped=skipped))
    assert skipped == {
        Skipped(b"binary.bin", Skip.BINARY),
        Skipped(b"becomes-binary", Skip.BINARY),
        Skipped(b"latin.txt", Skip.NOT_UTF8),
        Skipped(b"link", Skip.SYMLINK),
    }


def test_every_commit_is_a_step_even_one_without_documents(odd) -> None:
    commits, texts = odd
    assert [step.commit.sha for step in steps(commits, texts)] == [commit.sha for commit in commits]
    assert all(step.completes and step.done == len(step.writes) for step in steps(commits, texts))


@pytest.mark.parametrize("limits", [StepLimits(1, 1_000_000), StepLimits(2, 1_000_000), StepLimits(1_000, 40)])
def test_a_commit_that_is_too_large_is_several_steps_in_the_same_order(odd, limits: StepLimits) -> None:
    commits, texts = odd
    small = steps(commits, texts, limits=limits)
    assert all(len(step.writes) <= limits.documents_max for step in small)
    assert [write for step in small for write in step.writes] == [
        write for step in steps(commits, texts) for write in step.writes
    ]
    assert [step.commit.sha for step in small if step.completes] == [commit.sha for commit in commits]


def test_steps_go_on_inside_a_commit(odd) -> None:
    commits, texts = odd
    limits = StepLimits(documents_max=2, bytes_max=1_000_000)
    whole = steps(commits, texts, limits=limits)
    for place, step in enumerate(whole):
        if not step.completes:
            rest = steps(commits[commits.index(step.commit) :], texts, done=step.done, limits=limits)
            assert rest == whole[place + 1 :]


def test_a_changed_line_is_a_small_delta() -> None:
    before = text_value("100644", "\n".join(f"line {number}" for number in range(2_000)))
    after = {"mode": "100644", "lines": [*before["lines"][:700], "new", *before["lines"][701:]]}
    write = write_of(Part("d", before, after))
    assert write.body == Delta().set(("lines", 700), "new")
    assert write.bytes < 30


@pytest.mark.parametrize("rewritten", [0, 1, 3])
def test_a_delta_makes_the_new_value_of_the_old_one(rewritten: int) -> None:
    before = text_value("100644", "".join(f"{number}\n" for number in range(3_000)))
    lines = before["lines"]
    after = {"mode": "100755", "lines": [line for line in lines if not rewritten or int(line or 0) % (rewritten + 1)]}
    body = write_of(Part("d", before, after)).body
    assert isinstance(body, Delta)
    assert body.apply(before) == after


def test_thousands_of_moved_lines_are_set_anew_to_spare_the_server() -> None:
    before = text_value("100644", "".join(f"{'long ' * 20}{number}\n" for number in range(3_000)))
    after = {"mode": "100644", "lines": [line for line in before["lines"] if not line.endswith("7")]}
    after["lines"][::3] = [line + "!" for line in after["lines"][::3]]
    body = write_of(Part("d", before, after)).body
    assert isinstance(body, Delta)
    assert body == Delta().set("mode", "100644").set("lines", after["lines"])


def test_a_part_is_created_or_deleted_where_one_side_is_missing() -> None:
    value = text_value("100644", "a")
    assert write_of(Part("d", None, value)).body == value
    assert write_of(Part("d", value, None)).body is None
