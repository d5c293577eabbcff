from __future__ import annotations

from collections.abc import Iterator

import pytest

from palimpsest.cli.git.ledger import Ledger
from palimpsest.cli.git.lines import History
from palimpsest.cli.git.plan import Files, Part, Skipped, Step, StepLimits, Write, steps_of, write_of
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
    return list(steps_of(files(texts).on_trunk(commits), place=3, done=done, limits=limits))


def files(texts: Texts, skipped: set[Skipped] | None = None) -> Files:
    return Files(texts, prefix="odd/", skipped=set() if skipped is None else skipped)


def parts(commits: list[Commit], texts: Texts, skipped: set[Skipped] | None = None) -> list[Part]:
    return [part for share in files(texts, skipped).on_trunk(commits) for part in share.parts()]


def test_replaying_the_parts_gives_the_last_tree(odd) -> None:
    commits, texts = odd
    state: dict[str, object] = {}
    for part in parts(commits, texts):
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
    parts(commits, texts, skipped)
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
    assert [step.place for step in whole if step.completes] == list(range(3, 3 + len(commits)))
    for place, step in enumerate(whole):
        if not step.completes:
            rest = steps(commits[commits.index(step.commit) :], texts, done=step.done, limits=limits)
            assert [(one.writes, one.done, one.completes) for one in rest] == [
                (one.writes, one.done, one.completes) for one in whole[place + 1 :]
            ]


def test_lines_of_a_history_are_followed_and_what_is_there_is_passed_over(odd_folder) -> None:
    repository = Repository(odd_folder.path)
    history = History()
    history.extend(repository.links(repository.resolve("HEAD")))
    history.name_lines(repository.branches())
    commits = list(repository.commits(history.order))
    with repository.blobs() as blobs:
        of = files(Texts(blobs, prefix="odd/", limits=LIMITS))
        whole = [list(share.parts()) for share in of.on_lines(commits, Ledger(history))]
        for there in (1, 5, len(commits)):
            skipped: set[Skipped] = set()
            rest = files(Texts(blobs, prefix="odd/", limits=LIMITS), skipped).on_lines(
                commits, Ledger(history), there=there
            )
            assert [list(share.parts()) for share in rest] == whole[there:]
            assert bool(skipped) == (there == 1)
    side = [part for parts in whole for part in parts if part.document == "odd/side.txt"]
    assert [(part.branch, part.base, part.merged) for part in side] == [
        ("side", None, ()),
        ("side", None, ()),
        ("main", None, (("side", 2),)),
    ]


def test_what_a_server_can_decide_at_once_is_plain(odd) -> None:
    commits, texts = odd
    assert all(step.is_plain for step in steps(commits, texts))
    for branch, merged in (("side", ()), ("main", (("side", 1),))):
        write = Write("d", None, 0, branch, None, merged)
        assert not Step(commits[0], (write,), 1, True).is_plain
    assert [Step(commits[0], (), 2, completes, 7).reaches for completes in (True, False)] == [(8, 0), (7, 2)]


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
