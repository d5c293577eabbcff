from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from palimpsest.cli.git.repository import Commit, File, FileChange, GitFailed, Repository


def walked(folder) -> list[Commit]:
    repository = Repository(folder.path)
    return list(repository.walk(repository.resolve("HEAD")))


def test_commits_come_oldest_first_with_author_time_and_message(odd_folder) -> None:
    commits = walked(odd_folder)
    assert commits[0].message == "first files\n\nwith a body: of two\nlines"
    assert {commit.author for commit in commits} == {"Ana Müller <ana@example.org>"}
    assert commits[0].authored == "2019-01-01T00:01:00+01:00"
    repository = Repository(odd_folder.path)
    assert [commit.sha for commit in commits] == repository.first_parents(repository.resolve("HEAD"))


def test_a_merge_is_what_it_brings_to_its_first_parent(odd_folder) -> None:
    merge = next(commit for commit in walked(odd_folder) if commit.message == "merge the side")
    assert [change.path for change in merge.changes] == [b"side.txt"]
    assert not any("on the side" in commit.message for commit in walked(odd_folder))


def test_every_commit_is_linked_to_its_parents_and_can_be_had_in_any_order(odd_folder) -> None:
    repository = Repository(odd_folder.path)
    tip = repository.resolve("HEAD")
    links = repository.links(tip)
    assert len(links) == 11
    assert {link.sha: " ".join(link.parents) for link in links} == dict(
        line.split(" ", 1) if " " in line else (line, "")
        for line in odd_folder.run("rev-list", "--parents", "HEAD").splitlines()
    )
    assert [link.committed for link in links if link.sha == tip] == [int(odd_folder.run("log", "-1", "--format=%ct"))]
    assert repository.links(tip, after=repository.resolve("HEAD~1")) == links[-1:]
    wanted = [link.sha for link in reversed(links)]
    assert [commit.sha for commit in repository.commits(wanted)] == wanted
    assert [commit.is_merge for commit in repository.commits(wanted)].count(True) == 1
    assert {commit.sha: commit for commit in walked(odd_folder)}.items() <= {
        commit.sha: commit for commit in repository.commits(wanted)
    }.items()
    assert list(repository.commits([])) == []


def test_branches_are_named_by_their_commits(odd_folder, tmp_path: Path) -> None:
    side = odd_folder.run("rev-parse", "side")
    odd_folder.run("branch", "feature/other", "side")
    assert Repository(odd_folder.path).branches()[side] == ["feature/other", "side"]
    odd_folder.run("clone", "--quiet", ".", str(tmp_path / "clone"))
    assert Repository(tmp_path / "clone").branches()[side] == ["origin/feature/other", "origin/side"]


def test_a_tree_is_all_files_of_a_commit(odd_folder) -> None:
    repository = Repository(odd_folder.path)
    tree = repository.tree(repository.resolve("HEAD"))
    assert len(tree) == len(odd_folder.run("ls-files").splitlines())
    assert tree[b"link"].is_symlink
    assert tree[b"odd/latin-\xe9.txt"].mode == "100644"
    state: dict[bytes, File] = {}
    for commit in walked(odd_folder):
        for change in commit.changes:
            state.pop(change.path, None)
            if change.after is not None:
                state[change.path] = change.after
    assert state == tree


def test_a_rename_is_a_deletion_and_an_addition(odd_folder) -> None:
    commit = next(commit for commit in walked(odd_folder) if commit.message == "a rename and a deletion")
    kinds = {change.path: (change.before is not None, change.after is not None) for change in commit.changes}
    assert kinds == {b"README.md": (True, False), b"READYOU.md": (False, True), b"empty": (True, False)}


def test_an_empty_commit_changes_nothing_and_hides_nothing(odd_folder) -> None:
    commits = walked(odd_folder)
    place = next(place for place, commit in enumerate(commits) if commit.message == "nothing at all")
    assert commits[place].changes == ()
    assert commits[place + 1].message == "meanwhile on main"


def test_names_of_files_are_the_bytes_that_git_holds(odd_folder) -> None:
    names = {change.path for commit in walked(odd_folder) for change in commit.changes}
    assert {b"odd/latin-\xe9.txt", b"odd/tab\tand\nnewline", b":colon", "odd/ünï 文.txt".encode()} <= names


def test_a_mode_is_part_of_a_file(odd_folder) -> None:
    changes = [
        change for commit in walked(odd_folder) for change in commit.changes if change.path == b"src/windows.txt"
    ]
    assert [(change.after or File("", "")).mode for change in changes] == ["100644", "100755"]
    assert changes[1].before is not None
    assert changes[1].after is not None
    assert changes[1].before.blob == changes[1].after.blob


def test_symbolic_links_and_submodules_are_told_apart(odd_folder) -> None:
    inner = Repository(odd_folder.path).resolve("HEAD")
    odd_folder.run("update-index", "--add", "--cacheinfo", f"160000,{inner},module")
    odd_folder.run("commit", "--quiet", "-m", "a submodule")
    files = {change.path: change.after for commit in walked(odd_folder) for change in commit.changes}
    link, module = files[b"link"], files[b"module"]
    assert link is not None
    assert module is not None
    assert (link.is_symlink, link.is_submodule) == (True, False)
    assert (module.is_symlink, module.is_submodule) == (False, True)


def test_walking_goes_on_behind_a_commit(odd_folder) -> None:
    commits = walked(odd_folder)
    repository = Repository(odd_folder.path)
    assert list(repository.walk(commits[-1].sha, after=commits[3].sha)) == commits[4:]
    assert list(repository.walk(commits[-1].sha, after=commits[-1].sha)) == []


def test_walking_can_be_given_up(odd_folder) -> None:
    repository = Repository(odd_folder.path)
    walk = repository.walk(repository.resolve("HEAD"))
    next(walk)
    walk.close()


def test_the_users_configuration_changes_nothing(odd_folder) -> None:
    before = walked(odd_folder)
    for setting in ("log.showRoot=false", "diff.renames=copies", "core.quotePath=true", "log.date=relative"):
        odd_folder.run("config", *setting.split("="))
    for setting in (
        "diff.orderFile=/nonexistent",
        "diff.noprefix=true",
        "log.showSignature=true",
        "diff.relative=true",
    ):
        odd_folder.run("config", *setting.split("="))
    assert walked(odd_folder) == before


def test_contents_are_read_by_name_and_large_ones_are_not_held(odd_folder) -> None:
    repository = Repository(odd_folder.path)
    blobs = {
        change.path: change.after.blob
        for commit in repository.walk(repository.resolve("HEAD"))
        for change in commit.changes
        if change.after is not None
    }
    with repository.blobs() as reader:
        found = reader.read([blobs[b"src/no newline"], blobs[b"binary.bin"], blobs[b"side.txt"]], bytes_max=5)
        assert list(found.values()) == [b"a\nb", b"\0\1\2", None]
        assert reader.read([blobs[b"side.txt"]], bytes_max=100) == {blobs[b"side.txt"]: b"side\nagain\n"}
        with pytest.raises(GitFailed, match="does not hold the object 0000"):
            reader.read(["0" * 40], bytes_max=5)


def test_many_objects_are_asked_for_in_parts(git_folder: Callable) -> None:
    folder = git_folder("many")
    for number in range(600):
        folder.write(b"%d" % number, b"content %d\n" % number * 200)
    folder.commit("many")
    repository = Repository(folder.path)
    (commit,) = repository.walk(repository.resolve("HEAD"))
    names = [change.after.blob for change in commit.changes if change.after]
    with repository.blobs() as reader:
        assert len(reader.read(names, bytes_max=10_000)) == 600


def test_bare_repositories_are_read_as_well(odd_folder, tmp_path: Path) -> None:
    odd_folder.run("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    repository = Repository(tmp_path / "bare.git")
    assert repository.name == "bare"
    assert Repository(odd_folder.path / "src").name == "odd"
    assert list(repository.walk(repository.resolve("main"))) == walked(odd_folder)


def test_what_is_not_there_is_said_in_one_line(tmp_path: Path, git_folder: Callable) -> None:
    with pytest.raises(GitFailed, match="not a git repository"):
        Repository(tmp_path)
    with pytest.raises(GitFailed, match="nowhere"):
        Repository(tmp_path / "nowhere")
    empty = Repository(git_folder("empty").path)
    with pytest.raises(GitFailed, match="no commit is called 'HEAD'"):
        empty.resolve("HEAD")
    with pytest.raises(GitFailed, match="no commit is called '--all'"):
        empty.resolve("--all")


def test_a_change_names_what_was_there_before(odd_folder) -> None:
    commits = walked(odd_folder)
    first, later = (change for commit in commits for change in commit.changes if change.path == b"becomes-binary")
    assert first == FileChange(b"becomes-binary", None, later.before)
