from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from palimpsest.cli.git.plan import Step, Write
from palimpsest.cli.git.repository import Commit
from palimpsest.cli.git.sender import Backlog, moment_of

pytestmark = pytest.mark.anyio

PLAIN = Write("d", {}, 10)
ON_A_BRANCH = Write("d", {}, 10, "side/x")
MERGED = Write("d", {}, 10, "main", None, (("side/x", 1),))
LARGE = Write("d", {}, 1_048_576)


def steps(*writes: Write | None) -> Iterator[Step]:
    for place, write in enumerate(writes):
        commit = Commit(f"{place}", "", "", "", ())
        yield Step(commit, () if write is None else (write,), 0 if write is None else 1, True, place)


async def places(backlog: Backlog) -> list[int]:
    return [step.place for step in await backlog.take()]


async def test_plain_steps_go_together_and_others_alone() -> None:
    backlog = Backlog(steps(PLAIN, None, MERGED, ON_A_BRANCH, PLAIN, LARGE, PLAIN))
    taken = [await places(backlog) for _ in range(6)]
    assert taken == [[0, 1], [2], [3], [4, 5], [6], []]


async def test_many_plain_steps_are_taken_in_parts() -> None:
    backlog = Backlog(steps(*[PLAIN] * 40))
    assert [await places(backlog) for _ in range(3)] == [list(range(32)), list(range(32, 40)), []]


async def test_what_is_not_there_is_taken_again() -> None:
    backlog = Backlog(steps(PLAIN, PLAIN, None, ON_A_BRANCH, PLAIN))
    first, second, _ = await backlog.take()
    backlog.is_there(first)
    backlog.is_there(second)
    assert await places(backlog) == [3]
    assert backlog.rewind((2, 0))
    assert await places(backlog) == [2]
    assert backlog.rewind((3, 0))  # it was there, whatever the answer was
    assert await places(backlog) == [3]
    assert await places(backlog) == [4]
    assert await places(backlog) == []


async def test_shares_of_a_commit_are_told_apart() -> None:
    commit = Commit("0", "", "", "", ())
    shares = [Step(commit, (PLAIN,), done, done == 3, 0) for done in (1, 2, 3)]
    backlog = Backlog(iter(shares))
    assert await backlog.take() == shares
    assert backlog.rewind((0, 1))
    assert await backlog.take() == shares[1:]
    assert backlog.rewind((1, 0))
    assert await backlog.take() == []


async def test_somebody_else_who_has_gone_further_is_seen() -> None:
    backlog = Backlog(steps(ON_A_BRANCH, PLAIN, PLAIN))
    assert await places(backlog) == [0]
    assert not backlog.rewind((2, 0))
    again = Backlog(steps(PLAIN, ON_A_BRANCH, PLAIN, PLAIN))
    assert await places(again) == [0]
    assert again.rewind((0, 0))
    assert again.rewind((1, 0))  # what waits to be taken again is passed over as well
    assert await places(again) == [1]


async def test_an_error_of_the_steps_is_raised() -> None:
    def broken() -> Iterator[Step]:
        yield from steps(ON_A_BRANCH)
        raise OSError("gone")

    backlog = Backlog(broken())
    assert await places(backlog) == [0]
    with pytest.raises(OSError, match="gone"):
        await backlog.take()


def test_a_moment_is_never_in_the_future() -> None:
    assert moment_of(-5) == datetime(1970, 1, 1, tzinfo=UTC)
    assert moment_of(1_546_300_800) == datetime(2019, 1, 1, tzinfo=UTC)
    for seconds in (10**11, 10**30):
        assert abs(moment_of(seconds) - datetime.now(UTC)) < timedelta(minutes=1)
