"""`import git` of histories with merges, made by git itself."""

from __future__ import annotations

import copy
import random
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from palimpsest.cli.git.checker import Check, Report
from palimpsest.cli.git.importer import HistoryRewritten, Import, Summary
from palimpsest.cli.git.repository import Repository
from palimpsest.client import Client
from palimpsest.errors import BranchNotFound, UsageError
from palimpsest.limits import Limits
from palimpsest.testing import running_server
from palimpsest.words import Parents

pytestmark = pytest.mark.anyio


async def import_all(client: Client, folder: Any, **options: Any) -> Summary:
    return await Import(client, Repository(folder.path), prefix="r/", **options).run()


async def check_all(client: Client, folder: Any) -> Report:
    return await Check(client, Repository(folder.path), prefix="r/").run()


async def parents_of(client: Client, name: str, branch: str = "main") -> list[tuple[str, int, Parents | None]]:
    versions = client.history(name, branch=branch, newest_first=False)
    return [(version.branch, version.version, version.parents) async for version in versions]


@pytest.fixture
def merged_folder(merged_template: Any, tmp_path: Path) -> Any:
    """A history with merges of every kind, to be written on."""
    folder = copy.copy(merged_template)
    folder.path = shutil.copytree(merged_template.path, tmp_path / "merged", symlinks=True)
    return folder


@pytest.fixture(scope="module")
def merged_template(new_git_folder: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Branches are deleted as they are merged, but for `topic`."""
    folder = new_git_folder(tmp_path_factory.mktemp("template") / "merged")
    folder.write(b"a", b"1\n2\n3\n4\n5\n6\n7\n8\n")
    folder.write(b"b", b"b\n")
    folder.commit("first")
    folder.run("branch", "late")
    folder.run("checkout", "--quiet", "-b", "topic")
    folder.write(b"a", b"one\n2\n3\n4\n5\n6\n7\n8\n")
    folder.commit("topic: first line")
    folder.run("checkout", "--quiet", "-b", "inner")
    folder.write(b"new", b"inner\n")
    folder.commit("inner: new file")
    folder.run("checkout", "--quiet", "main")
    folder.write(b"a", b"1\n2\n3\n4\n5\n6\n7\neight\n")
    folder.write(b"c", b"c\n")
    folder.commit("main: last line")
    folder.run("checkout", "--quiet", "topic")
    folder.run("merge", "--quiet", "--no-ff", "-m", "topic takes in main", "main")
    folder.run("checkout", "--quiet", "main")
    folder.run("merge", "--quiet", "--no-ff", "-m", "main takes in inner", "inner")
    folder.run("merge", "--quiet", "--no-ff", "-m", "main takes in topic", "topic")
    for name in (b"x", b"y", b"z"):
        folder.run("checkout", "--quiet", "-b", name, "HEAD~1")
        folder.write(name, name)
        folder.write(b"b", b"b\n")
        folder.commit(f"{name.decode()}: a file")
    folder.run("checkout", "--quiet", "main")
    folder.run("merge", "--quiet", "--no-ff", "-m", "an octopus", "x", "y", "z")
    folder.run("checkout", "--quiet", "late")
    folder.write(b"c", b"another c\n")
    folder.remove(b"b")
    folder.commit("late: c on its own, b deleted")
    folder.run("checkout", "--quiet", "main")
    folder.run("merge", "--quiet", "--no-ff", "-s", "ours", "-m", "nothing of late is taken", "late")
    folder.run("checkout", "--quiet", "--orphan", "root")
    folder.run("rm", "-rf", "--quiet", ".")
    folder.write(b"other/file", b"of another root\n")
    folder.commit("another root")
    folder.run("checkout", "--quiet", "main")
    folder.run("merge", "--quiet", "--allow-unrelated-histories", "--no-commit", "root")
    folder.write(b"other/file", b"changed by the merge\n")
    folder.commit("an evil merge of another root")
    folder.run("branch", "-D", "late", "inner", "x", "y", "z", "root")
    return folder


async def test_every_kind_of_merge_is_there_exactly(palimpsest_client, merged_folder) -> None:
    summary = await import_all(palimpsest_client, merged_folder)
    assert (summary.commits, summary.merges) == (15, 6)
    report = await check_all(palimpsest_client, merged_folder)
    assert report.differences == []
    assert (report.commits, report.merges, report.versions) == (15, 6, summary.versions)
    assert len(summary.branches) == report.branches == 8
    assert {"main", "topic"} <= summary.branches


async def test_a_version_says_where_it_comes_from(palimpsest_client, merged_folder) -> None:
    client = palimpsest_client
    await import_all(client, merged_folder)
    assert await parents_of(client, "r/a") == [
        ("main", 1, None),
        ("main", 2, None),
        ("main", 3, Parents(None, (("topic", 2),))),
    ]
    assert await parents_of(client, "r/a", "topic") == [
        ("main", 1, None),
        ("topic", 2, Parents(("main", 1))),
        ("topic", 3, Parents(None, (("main", 2),))),
    ]
    with pytest.raises(BranchNotFound):  # it was taken in, and never changed there
        await client.get("r/c", branch="topic")
    merge = merged_folder.run("log", "-1", "--format=%H", "--grep", "main takes in inner")
    version = await client.get("r/a")
    assert f"commit:{merge}" in version.tags
    assert version.value["lines"] == ["one", "2", "3", "4", "5", "6", "7", "eight", ""]


async def test_a_merge_on_the_server_knows_what_was_merged_in_git(palimpsest_client, merged_folder) -> None:
    await import_all(palimpsest_client, merged_folder)
    ((_, _, parents),) = await parents_of(palimpsest_client, "r/x")
    assert parents is not None
    ((source, version),) = parents.merged
    assert (source.startswith("side/"), version) == (True, 1)
    result = await palimpsest_client.merge("r/x", source=source)
    assert (result.conflicts, result.version) == ([], None)


async def test_the_trunk_can_have_another_name(palimpsest_client, merged_folder) -> None:
    await import_all(palimpsest_client, merged_folder, branch="develop")
    await import_all(palimpsest_client, merged_folder)
    assert (await check_all(palimpsest_client, merged_folder)).differences == []
    assert [name async for name in palimpsest_client.list("r/**")] == ["r/$import"]
    assert len([name async for name in palimpsest_client.list("r/**", branch="develop")]) == 8
    with pytest.raises(UsageError, match="begun on the branch 'develop'"):
        await import_all(palimpsest_client, merged_folder, branch="main")


async def test_an_import_goes_on_as_it_was_begun(palimpsest_client, merged_folder) -> None:
    await import_all(palimpsest_client, merged_folder, first_parent=True, ref="HEAD~2")
    with pytest.raises(UsageError, match="begun along first parents"):
        await import_all(palimpsest_client, merged_folder, first_parent=False)
    assert (await import_all(palimpsest_client, merged_folder)).branches == {"main"}
    assert (await check_all(palimpsest_client, merged_folder)).differences == []


async def test_an_import_with_branches_stays_one(palimpsest_client, merged_folder) -> None:
    await import_all(palimpsest_client, merged_folder)
    with pytest.raises(UsageError, match="begun with branches"):
        await import_all(palimpsest_client, merged_folder, first_parent=True)
    with pytest.raises(UsageError, match="no branch can be called"):
        await Import(palimpsest_client, Repository(merged_folder.path), prefix="s/", branch="$x").run()


async def test_a_tip_that_took_the_old_one_in_from_the_side_is_refused(palimpsest_client, merged_folder) -> None:
    await import_all(palimpsest_client, merged_folder)
    merged_folder.run("checkout", "--quiet", "-b", "other", "HEAD~1")
    merged_folder.run("merge", "--quiet", "--no-ff", "-m", "the wrong way round", "main")
    with pytest.raises(HistoryRewritten, match="not in the first-parent history"):
        await import_all(palimpsest_client, merged_folder)


async def test_a_name_that_a_line_was_given_stays(palimpsest_client, merged_folder) -> None:
    await import_all(palimpsest_client, merged_folder)
    merged_folder.run("checkout", "--quiet", "topic")
    merged_folder.write(b"d", b"topic goes on\n")
    merged_folder.commit("topic: d")
    merged_folder.run("branch", "-m", "topic", "renamed")
    merged_folder.run("checkout", "--quiet", "main")
    merged_folder.run("merge", "--quiet", "--no-ff", "-m", "main takes in topic once more", "renamed")
    more = await import_all(palimpsest_client, merged_folder)
    assert (more.commits, more.branches) == (2, {"main", "topic"})
    assert (await check_all(palimpsest_client, merged_folder)).differences == []


async def test_what_comes_from_nothing_after_the_trunk_has_it_starts_from_the_trunk(
    palimpsest_client, git_folder
) -> None:
    folder = git_folder("independent")
    folder.write(b"a", b"a\n")
    folder.commit("first")
    folder.run("branch", "old")
    folder.write(b"d", b"main\n")
    folder.commit("main: d")
    await import_all(palimpsest_client, folder)
    folder.run("checkout", "--quiet", "old")
    folder.write(b"d", b"old\n")
    folder.commit("old: d, too")
    folder.run("checkout", "--quiet", "main")
    folder.run("merge", "--quiet", "--no-ff", "-X", "theirs", "-m", "merge", "old")
    await import_all(palimpsest_client, folder)
    assert (await check_all(palimpsest_client, folder)).differences == []
    assert await parents_of(palimpsest_client, "r/d", "old") == [
        ("main", 1, None),
        ("old", 2, Parents(("main", 1))),
    ]


async def test_the_check_finds_what_differs_on_branches(palimpsest_client, merged_folder) -> None:
    client = palimpsest_client
    await import_all(client, merged_folder)
    await client.update("r/a", {"mode": "100755"}, branch="topic")
    await client.branch("r/b", "extra")
    differences = (await check_all(client, merged_folder)).differences
    assert sorted((one.document, one.branch, one.what) for one in differences) == [
        ("r/a", "topic", "3 versions, and git has 2"),
        ("r/b", "extra", "the branch is listed, and git does not have it"),
    ]


class Killed(Exception):
    pass


def random_history(folder: Any, count: int, seed: int) -> None:
    """Commits to a few files, with merges that mix their parents' files and some of their own."""
    choose = random.Random(seed)
    trees: list[dict[str, str]] = []
    heads: list[int] = []
    stream: list[str] = []
    for number in range(1, count + 1):
        last = number == count
        parents = choose.sample(heads, min(len(heads), choose.choice([1, 1, 1, 2, 2, 3]))) if heads else []
        if heads and choose.random() < 0.25:
            parents = [choose.randrange(1, number)]
        if last:
            parents = heads
        tree: dict[str, str] = {}
        for name in "defgh":
            picked = trees[choose.choice(parents) - 1].get(name) if parents else None
            if choose.random() < 0.3:
                picked = choose.choice([None, "no\\0text", "1", "2", str(number)])
            if picked is not None:
                tree[name] = picked
        trees.append(tree)
        heads = [head for head in heads if head not in parents] + [number]
        stream.append(f"commit refs/heads/{'main' if last else f'b{number % 7}'}\nmark :{number}\n")
        stream.append(f"committer Bo <bo@example.org> {1_546_300_800 + number} +0000\ndata 1\n{number % 10}\n")
        stream += [f"{'merge' if place else 'from'} :{parent}\n" for place, parent in enumerate(parents)]
        stream.append("deleteall\n")
        stream += [f"M 100644 inline {name}\ndata {len(text)}\n{text}\n" for name, text in tree.items()]
    subprocess.run(
        ["git", "fast-import", "--quiet", "--force"], cwd=folder.path, input="".join(stream).encode(), check=True
    )


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_histories_are_there_exactly_however_they_were_cut(git_folder, seed: int) -> None:
    folder = git_folder("random")
    random_history(folder, 60, seed)
    trunk = folder.run("rev-list", "--first-parent", "--reverse", "main").split()
    choose = random.Random(seed)

    def cut(done: int, total: int) -> None:
        if choose.random() < 0.1:
            raise Killed

    with running_server(limits=Limits(transaction_documents_max=3, peer_silence_seconds=1e9)) as server:
        async with server.connect() as client:
            for tip in [*trunk[:: max(1, len(trunk) // 3)], "main"]:
                with suppress(BaseExceptionGroup, Killed):
                    await import_all(client, folder, ref=tip, on_commit=cut)
                await import_all(client, folder, ref=tip)
            report = await check_all(client, folder)
    assert report.differences == []
    assert report.commits == int(folder.run("rev-list", "--count", "main"))
