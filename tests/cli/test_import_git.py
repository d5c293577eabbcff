from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from palimpsest.cli.git.checker import Check, Difference, Report
from palimpsest.cli.git.importer import HistoryRewritten, Import, Summary
from palimpsest.cli.git.plan import Skipped
from palimpsest.cli.git.repository import Repository
from palimpsest.cli.git.texts import Skip
from palimpsest.client import Client, Create
from palimpsest.errors import DocumentExists, DocumentNotFound, VersionConflict, VersionPruned
from palimpsest.limits import Limits
from palimpsest.state.delta import Delta
from palimpsest.testing import running_server
from palimpsest.words import Kind

pytestmark = pytest.mark.anyio

NARROW = Limits(transaction_documents_max=3, peer_silence_seconds=1e9)
"""Two documents and the progress document: most commits of a test are several steps."""


async def import_all(client: Client, folder: Any, **options: Any) -> Summary:
    return await Import(client, Repository(folder.path), prefix="odd/", **options).run()


async def check_all(client: Client, folder: Any) -> Report:
    return await Check(client, Repository(folder.path), prefix="odd/").run()


async def histories(client: Client) -> dict[str, list[tuple[int, Kind, frozenset[str]]]]:
    """Everything that was ever under the prefix, with what each version is; the progress document's own left out."""
    kept: dict[str, list[tuple[int, Kind, frozenset[str]]]] = {}
    for name in [name async for name in client.list("odd/**")]:
        if name != "odd/$import":
            versions = client.history(name, newest_first=False)
            kept[name] = [(version.version, version.kind, version.tags) async for version in versions]
    return kept


@pytest.fixture
async def narrow_client() -> AsyncIterator[Client]:
    with running_server(limits=NARROW) as server:
        async with server.connect() as client:
            yield client


async def test_an_odd_history_is_there_exactly(palimpsest_client, odd_folder) -> None:
    summary = await import_all(palimpsest_client, odd_folder)
    assert (summary.commits, summary.merges, summary.documents, summary.versions) == (11, 1, 17, 24)
    assert summary.branches == {"main", "side"}
    assert summary.skipped == {
        Skipped(b"binary.bin", Skip.BINARY),
        Skipped(b"becomes-binary", Skip.BINARY),
        Skipped(b"latin.txt", Skip.NOT_UTF8),
        Skipped(b"link", Skip.SYMLINK),
    }
    report = await check_all(palimpsest_client, odd_folder)
    assert report.differences == []
    assert (report.commits, report.merges, report.documents, report.versions) == (11, 1, 14, 24)
    assert report.branches == 2


async def test_first_parents_alone_are_there_exactly(palimpsest_client, odd_folder) -> None:
    summary = await import_all(palimpsest_client, odd_folder, first_parent=True)
    assert (summary.commits, summary.merges, summary.documents, summary.versions) == (9, 1, 16, 22)
    report = await check_all(palimpsest_client, odd_folder)
    assert report.differences == []
    assert (report.commits, report.merges, report.documents, report.versions) == (9, 1, 14, 22)
    assert report.branches == 1


async def test_a_version_says_who_when_and_why(palimpsest_client, odd_folder) -> None:
    await import_all(palimpsest_client, odd_folder)
    document = await palimpsest_client.get("odd/README.md", version=1)
    first = odd_folder.run("rev-list", "--max-parents=0", "HEAD")
    assert document.value == {"mode": "100644", "lines": ["# Odd", "", "first", ""]}
    assert document.by == "Ana Müller <ana@example.org>"
    assert document.description == "first files\n\nwith a body: of two\nlines"
    assert document.tags == {f"commit:{first}", "authored:2019-01-01T00:01:00+01:00"}


async def test_a_file_that_comes_back_goes_on_with_its_versions(palimpsest_client, odd_folder) -> None:
    await import_all(palimpsest_client, odd_folder)
    versions = [version async for version in palimpsest_client.history("odd/README.md", newest_first=False)]
    assert [version.kind for version in versions] == [Kind.CREATE, Kind.UPDATE, Kind.DELETE, Kind.CREATE]
    assert (await palimpsest_client.get("odd/empty")).version == 3


async def test_every_commit_is_a_version_of_the_progress_document(palimpsest_client, odd_folder) -> None:
    await import_all(palimpsest_client, odd_folder, first_parent=True)
    progress = await palimpsest_client.get("odd/$import")
    assert progress.value == {
        "repository": "odd",
        "ref": "HEAD",
        "commit": odd_folder.run("rev-parse", "HEAD"),
        "done": 0,
        "commits": 9,
        "versions": 22,
        "limits": {"document_bytes_max": 8 * 1024 * 1024, "name_bytes_max": 512},
    }
    said = [version.description async for version in palimpsest_client.history("odd/$import", newest_first=False)]
    messages = [commit.message for commit in Repository(odd_folder.path).walk("HEAD")]
    assert said == ["import started", *messages]


async def test_a_second_run_imports_only_what_is_new(palimpsest_client, odd_folder) -> None:
    await import_all(palimpsest_client, odd_folder)
    again = await import_all(palimpsest_client, odd_folder)
    assert (again.commits, again.versions) == (0, 0)
    odd_folder.write(b"side.txt", b"side\nonce more\n")
    odd_folder.commit("one more")
    more = await import_all(palimpsest_client, odd_folder)
    assert (more.commits, more.documents, more.versions) == (1, 0, 1)
    assert (await check_all(palimpsest_client, odd_folder)).differences == []


@pytest.mark.parametrize(("first_parent", "commits"), [(True, 9), (False, 11)])
async def test_an_older_ref_can_be_imported_first(palimpsest_client, odd_folder, first_parent, commits) -> None:
    part = await import_all(palimpsest_client, odd_folder, ref="HEAD~3", first_parent=first_parent)
    rest = await import_all(palimpsest_client, odd_folder)
    assert part.commits + rest.commits == commits
    assert (await check_all(palimpsest_client, odd_folder)).differences == []


@pytest.mark.parametrize("first_parent", [True, False])
async def test_a_rewritten_history_is_refused_and_changes_nothing(palimpsest_client, odd_folder, first_parent) -> None:
    await import_all(palimpsest_client, odd_folder, first_parent=first_parent)
    before = await histories(palimpsest_client)
    odd_folder.commit("another ending", "--amend")
    with pytest.raises(HistoryRewritten, match=r"odd/\$import stands at commit"):
        await import_all(palimpsest_client, odd_folder)
    assert await histories(palimpsest_client) == before


class Killed(Exception):
    pass


def killer(after: int) -> Callable[[int, int], None]:
    def on_commit(done: int, total: int) -> None:
        if done >= after:
            raise Killed

    return on_commit


@pytest.mark.parametrize(
    ("first_parent", "after"), [(True, 0), (True, 6), (False, 0), (False, 3), (False, 6), (False, 9)]
)
async def test_an_import_that_is_cut_off_goes_on_exactly(narrow_client, odd_folder, after: int, first_parent) -> None:
    killed = False
    try:
        await import_all(narrow_client, odd_folder, first_parent=first_parent, on_commit=killer(after))
    except* Killed:
        killed = True
    assert killed
    await import_all(narrow_client, odd_folder)
    assert (await check_all(narrow_client, odd_folder)).differences == []


async def test_large_commits_are_split_and_resumed_inside(palimpsest_client, narrow_client, odd_folder) -> None:
    await import_all(palimpsest_client, odd_folder)
    whole = await histories(palimpsest_client)
    summary = await import_all(narrow_client, odd_folder)
    assert (summary.commits, summary.versions) == (11, 24)
    assert await histories(narrow_client) == whole
    # As if the run had been killed between the first and the second step of the first commit.
    with running_server(limits=NARROW) as server:
        async with server.connect() as client:
            with pytest.raises(Killed):
                await import_all(client, odd_folder, on_commit=killer(0))
            tags = {f"commit:{odd_folder.run('rev-list', '--max-parents=0', 'HEAD')}"}
            value = (await palimpsest_client.get("odd/README.md", version=1)).value
            empty = (await palimpsest_client.get("odd/empty", version=1)).value
            await client.transaction(
                {
                    "odd/README.md": Create(value),
                    "odd/empty": Create(empty),
                    "odd/$import": Delta().increment("versions", 2).set("done", 2),
                },
                tags=tags,
                at=datetime.fromisoformat("2019-01-01T00:01:00+01:00"),
            )
            rest = await import_all(client, odd_folder)
            assert rest.versions == 22
            assert (await check_all(client, odd_folder)).differences == []


async def test_what_is_tagged_is_as_git_has_it_after_pruning(palimpsest_client, git_folder) -> None:
    folder = git_folder("many")
    many_commits(folder, 100)
    client = palimpsest_client
    await import_all(client, folder)
    values = {version: (await client.get("odd/file0", version=version)).value for version in range(1, 35)}
    times = {version.version: version.at async for version in client.history("odd/file0")}
    for version in (3, 10, 11):
        await client.tag("odd/file0", version=version, tags={"kept"})
    await client.prune("odd/*", versions=2, tags={"kept"}, dry_run=False)
    left = [version.version async for version in client.history("odd/file0", newest_first=False)]
    assert left == [3, 10, 11, 33, 34]
    for version, value in values.items():
        for which in ({"version": version}, {"at": times[version]}):
            if version in left:
                assert (await client.get("odd/file0", **which)).value == value
            else:
                with pytest.raises(VersionPruned):
                    await client.get("odd/file0", **which)


async def test_blame_of_a_line_keyed_document_agrees_with_its_versions(palimpsest_client, odd_folder) -> None:
    client = palimpsest_client
    await import_all(client, odd_folder)
    names = [name async for name in client.list("odd/**") if name != "odd/$import"]
    for name in names:
        await client.create("keyed/" + name, {})
        async for version in client.history(name, newest_first=False):
            if version.kind is not Kind.DELETE:
                lines = (await client.get(name, version=version.version)).value["lines"]
                async with client.edit("keyed/" + name) as draft:
                    draft.clear()
                    draft.update({f"{number:04}": line for number, line in enumerate(lines)})
        values: dict[str, str] = {}
        set_by: dict[str, int] = {}
        async for version in client.history("keyed/" + name, newest_first=False):
            found = (await client.get("keyed/" + name, version=version.version)).value
            set_by = {key: set_by[key] if values.get(key) == line else version.version for key, line in found.items()}
            values = found
        blame = await client.blame("keyed/" + name)
        assert {key.strip('[]"'): version.version for key, version in blame.items() if key} == set_by


async def test_two_imports_at_once_do_not_mix(palimpsest_server, palimpsest_client, odd_folder) -> None:
    async def import_or_give_way(client: Client) -> None:
        with suppress(VersionConflict, DocumentExists):  # the other one was quicker
            await import_all(client, odd_folder)

    async with palimpsest_server.connect() as other, anyio.create_task_group() as tasks:
        tasks.start_soon(import_or_give_way, palimpsest_client)
        tasks.start_soon(import_or_give_way, other)
    await import_all(palimpsest_client, odd_folder)
    report = await check_all(palimpsest_client, odd_folder)
    assert (report.versions, report.differences) == (24, [])


async def test_an_overloaded_server_is_given_time(git_folder) -> None:
    folder = git_folder("many")
    many_commits(folder, 100)
    with running_server(limits=Limits(mailbox_items_max=30, peer_silence_seconds=1e9)) as server:
        async with server.connect() as client:
            summary = await import_all(client, folder)
            report = await check_all(client, folder)
    assert (summary.commits, report.versions, report.differences) == (100, 100, [])


async def test_what_is_too_large_is_skipped_and_stays_so(odd_folder) -> None:
    odd_folder.write(b"side.txt", b"too large\n" * 30)
    odd_folder.commit("a file outgrows the limit")
    with running_server(limits=Limits(document_bytes_max=300, peer_silence_seconds=1e9)) as server:
        async with server.connect() as client:
            summary = await import_all(client, odd_folder)
            assert {skip.path for skip in summary.skipped if skip.reason is Skip.TOO_LARGE} == {b"side.txt"}
            with pytest.raises(DocumentNotFound):
                await client.get("odd/side.txt")
            assert (await check_all(client, odd_folder)).differences == []


async def test_the_check_finds_whatever_differs(palimpsest_client, odd_folder) -> None:
    await import_all(palimpsest_client, odd_folder)
    await palimpsest_client.update("odd/side.txt", Delta().set(("lines", 0), "another"))
    await palimpsest_client.delete("odd/latin.txt")
    await palimpsest_client.create("odd/extra", {})
    differences = (await check_all(palimpsest_client, odd_folder)).differences
    assert sorted((one.document, one.what) for one in differences) == [
        ("odd/extra", "listed, and git does not have it"),
        ("odd/latin.txt", "2 versions, and git has 1"),
        ("odd/latin.txt", "not listed"),
        ("odd/side.txt", "2 versions, and git has 1"),
    ]
    odd_folder.write(b"side.txt", b"git goes on where somebody else has written\n")
    odd_folder.commit("next")
    await import_all(palimpsest_client, odd_folder)
    differences = (await check_all(palimpsest_client, odd_folder)).differences
    assert Difference("odd/side.txt", 2, odd_folder.run("rev-parse", "HEAD"), "another value than git's") in differences


async def test_a_check_of_nothing_says_so(palimpsest_client, odd_folder) -> None:
    with pytest.raises(DocumentNotFound, match="import"):
        await check_all(palimpsest_client, odd_folder)


def many_commits(folder: Any, count: int) -> None:
    """A history of `count` commits to three files, made in one go."""
    stream = []
    for number in range(count):
        content = f"line {number}\n" * 20
        stream.append(
            f"commit refs/heads/main\ncommitter Bo <bo@example.org> {1_546_300_800 + number} +0000\n"
            f"data <<END\ncommit {number}\nEND\n"
            f"M 100644 inline file{number % 3}\ndata {len(content)}\n{content}\n"
        )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder.path, input="".join(stream).encode(), check=True)


async def test_an_import_that_is_killed_goes_on_exactly(palimpsest_server, palimpsest_client, git_folder) -> None:
    folder = git_folder("many")
    many_commits(folder, 400)
    # Special case for the linter: the process is to run beside this test, which does not wait for it to start.
    async with palimpsest_client.subscribe("odd/$import") as changes:
        command = [
            sys.executable,
            "-m",
            "palimpsest",
            "--url",
            palimpsest_server.url,
            "import",
            "git",
            str(folder.path),
        ]
        with subprocess.Popen([*command, "--prefix", "odd"]) as process:  # noqa: ASYNC220
            async for change in changes:
                if change.version == 20:
                    process.kill()
                    break
    stood_at = (await palimpsest_client.get("odd/$import")).value["commits"]
    assert stood_at >= 19
    rest = await import_all(palimpsest_client, folder)
    assert rest.commits == 400 - stood_at
    report = await check_all(palimpsest_client, folder)
    assert (report.versions, report.differences) == (400, [])


def test_the_command_imports_and_checks(palimpsest, palimpsest_sync_client, odd_folder) -> None:
    words = ("import", "git", str(odd_folder.path), "--prefix", "odd")
    imported = palimpsest(*words, "--json")
    answer = json.loads(imported.stdout)
    assert answer.pop("seconds") > 0
    assert answer == {
        "tip": odd_folder.run("rev-parse", "HEAD"),
        "commits": 11,
        "merges": 1,
        "documents": 17,
        "versions": 24,
        "branches": 2,
        "skipped": [
            {"path": "becomes-binary", "reason": "binary"},
            {"path": "binary.bin", "reason": "binary"},
            {"path": "latin.txt", "reason": "not UTF-8"},
            {"path": "link", "reason": "symbolic link"},
        ],
    }
    assert imported.stderr == ""
    checked = palimpsest(*words, "--check")
    assert checked.exit_code == 0
    assert checked.stdout.startswith(
        "24 versions of 14 documents on 2 branches from 11 commits, 1 of them merges: all as git has them"
    )
    palimpsest_sync_client.create("odd/extra", 1)
    failed = palimpsest(*words, "--check")
    assert failed.exit_code == 1
    assert "1 differences" in failed.stdout
    assert "odd/extra" in failed.stdout
    failed = palimpsest(*words, "--check", "--json")
    assert json.loads(failed.stdout)["differences"][0]["document"] == "odd/extra"


def test_people_are_told_what_was_skipped_and_why(palimpsest, odd_folder) -> None:
    imported = palimpsest("import", "git", str(odd_folder.path))
    told = "11 commits, 1 of them merges; 17 documents created, 24 versions on 2 branches in "
    assert imported.stdout.startswith(told)
    assert "skipped, binary: 2\n    becomes-binary\n    binary.bin\n" in imported.stdout
    assert "odd/READYOU.md" in palimpsest("list").stdout.splitlines()  # the prefix is the repository's name


def test_what_goes_wrong_with_git_has_its_own_code(palimpsest, odd_folder, tmp_path: Path) -> None:
    missing = palimpsest("import", "git", str(odd_folder.path), "--ref", "no-such-branch")
    assert (missing.exit_code, missing.stdout) == (9, "")
    assert "no-such-branch" in missing.stderr
    assert missing.stderr.count("\n") == 1
    assert palimpsest("import", "git", str(tmp_path)).exit_code == 9
    assert palimpsest("import", "git", str(odd_folder.path), "--check").exit_code == 3
