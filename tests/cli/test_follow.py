from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from palimpsest.testing import RunningServer


@pytest.fixture
def story(palimpsest) -> None:
    palimpsest("set", "notes/1", '{"title": "A"}', "--by", "ana", "-m", "first")
    palimpsest("update", "notes/1", "title=B", "stars+=1", "--by", "bo", "--tag", "x")
    palimpsest("delete", "notes/1")


class Watch:
    """A `palimpsest watch` that runs beside the test."""

    def __init__(self, server: RunningServer, *words: str) -> None:
        command = [sys.executable, "-m", "palimpsest", "--url", server.url, "watch", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


def versions(watched) -> list[int]:
    assert watched.exit_code == 0, watched.stderr
    return [json.loads(line)["version"] for line in watched.stdout.splitlines()]


def test_watch_prints_a_line_for_each_change_and_goes_on_after_a_cursor(palimpsest, story) -> None:
    watched = palimpsest("watch", "notes/*", "--from", "beginning", "--limit", "3", "--json", "--values")
    assert watched.exit_code == 0, watched.stderr
    lines = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [(line["version"], line["kind"], line["by"]) for line in lines] == [
        (1, "create", "ana"),
        (2, "update", "bo"),
        (3, "delete", None),
    ]
    assert [line["value"] for line in lines] == [{"title": "A"}, {"title": "B", "stars": 1}, None]
    rest = palimpsest("watch", "notes/*", "--from", lines[0]["cursor"], "--limit", "1", "--json")
    assert versions(rest) == [2]


def test_the_keys_of_a_change(palimpsest, story) -> None:
    words = ("watch", "notes/1", "--from", "2", "--limit", "1", "--json")
    keys = [
        "document",
        "branch",
        "version",
        "kind",
        "at",
        "by",
        "description",
        "tags",
        "more",
        "snapshot",
        "delta",
        "cursor",
    ]
    assert list(json.loads(palimpsest(*words).stdout)) == keys
    assert list(json.loads(palimpsest(*words, "--values").stdout)) == [*keys, "value"]


def test_what_a_merge_took_in_is_printed(palimpsest, story) -> None:
    palimpsest("set", "a", "1")
    palimpsest("branch", "a", "draft")
    palimpsest("set", "a", "2", "--branch", "draft")
    palimpsest("merge", "a", "draft")
    watched = palimpsest("watch", "a", "--from", "2", "--limit", "1", "--json")
    assert json.loads(watched.stdout)["merged"] == ["draft:2"]
    assert "merges draft:2" in palimpsest("watch", "a", "--from", "2", "--limit", "1").stdout


def test_watch_for_people(palimpsest, story) -> None:
    watched = palimpsest("watch", "notes/1", "--from", "beginning", "--limit", "2", "--values")
    assert "notes/1  version 1  create" in watched.stdout
    assert "  ana  first\n" in watched.stdout
    assert '    set title "B"' in watched.stdout
    assert '"stars": 1' in watched.stdout
    assert watched.stderr == ""


def test_it_may_begin_at_a_version_a_time_or_with_a_snapshot(palimpsest, story) -> None:
    assert versions(palimpsest("watch", "notes/1", "--from", "2", "--limit", "2", "--json")) == [2, 3]
    assert versions(palimpsest("watch", "**", "--from", "2019-12-30", "--limit", "2", "--json")) == [1, 2]
    palimpsest("set", "notes/2", "5")
    shown = palimpsest("watch", "notes/*", "--from", "snapshot", "--limit", "1", "-v")
    assert shown.stdout.splitlines()[1] == "5"
    assert shown.stderr == "a snapshot begins\n"


def test_filters(palimpsest, story) -> None:
    def watch(*words: str) -> list[int]:
        return versions(palimpsest("watch", "**", "--from", "beginning", "--limit", "1", "--json", *words))

    assert watch("--filter", "by=bo") == watch("--filter", "tag=x") == [2]
    assert watch("--filter", "path=stars", "--filter", "kind=update") == [2]
    assert watch("--filter", "kind=delete") == [3]
    assert watch("--filter", "tag-all=x", "--filter", "kind=create", "--filter", "kind=update") == [2]


def test_history_at_a_speed(palimpsest, story) -> None:
    words = ("watch", "**", "--from", "beginning", "--speed", "1000000", "--limit", "3", "--json")
    assert versions(palimpsest(*words)) == [1, 2, 3]


def test_a_cursor_file_is_where_the_next_run_begins(palimpsest, story, tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    words = ("watch", "**", "--cursor-file", str(path), "--json", "--limit", "1", "--from")
    assert versions(palimpsest(*words, "beginning")) == [1]
    assert versions(palimpsest(*words, "beginning")) == [2]
    assert versions(palimpsest(*words, "1h")) == [3]
    palimpsest("set", "a", "1")
    assert versions(palimpsest(*words, "snapshot")) == [1]
    assert path.read_text().startswith("1")


def test_a_snapshot_takes_the_place_of_a_cursor_file_that_is_of_no_use(palimpsest, story, tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    other = "1" + "0" * 16 + ".1\n"
    path.write_text(other)
    palimpsest("set", "a", "1")
    words = ("watch", "**", "--cursor-file", str(path), "--json", "--limit", "1")
    refused = palimpsest(*words)
    assert refused.exit_code == 8
    assert "--from snapshot begins with what is there now, also beside a --cursor-file" in refused.stderr
    assert path.read_text() == other
    assert versions(palimpsest(*words, "--from", "snapshot")) == [1]
    assert path.read_text() == other  # the snapshot was not complete


def test_a_cursor_that_reaches_back_too_far_has_its_own_code(palimpsest, story) -> None:
    palimpsest("set", "a", "1")
    palimpsest("set", "a", "2")
    palimpsest("set", "a", "3")
    first = palimpsest("watch", "a", "--from", "1", "--limit", "1", "--json")
    palimpsest("prune", "a", "--versions", "1", "--yes")
    refused = palimpsest("watch", "a", "--from", json.loads(first.stdout)["cursor"], "--limit", "1")
    assert refused.exit_code == 8
    assert "is not kept any more (all is from 1" in refused.stderr
    assert "; --from snapshot begins with what is there now" in refused.stderr
    assert palimpsest("watch", "a", "--from", "beginning", "--limit", "1").exit_code == 8


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--from", "nonsense"], "--from nonsense: write now, beginning, snapshot"),
        (["--from", "3"], "--from 3: a version is of one document, and ** is a pattern"),
        (["--filter", "who=ana"], "--filter who=ana: write KEY=VALUE"),
        (["--speed", "2"], "--speed is for history: say by --from"),
        (["--speed", "2", "--from", "snapshot"], "--speed is for history: say by --from"),
        (["--speed", "0", "--from", "beginning"], "--speed 0: 1 is as fast as it was"),
        (["--speed", "nan", "--from", "beginning"], "--speed nan: 1 is as fast as it was"),
        (["--policy", "latest"], "--policy latest is about values: give --values, too"),
        (["--cursor-file", __file__], "holds no cursor"),
    ],
    ids=["from", "version", "filter", "speed", "speed of a snapshot", "speed 0", "speed nan", "policy", "cursor-file"],
)
def test_what_makes_no_sense_is_refused_with_the_name_of_the_option(palimpsest, words: list[str], reason: str) -> None:
    refused = palimpsest("watch", "**", "--limit", "1", *words)
    assert refused.exit_code == 2
    assert reason in refused.stderr


def test_control_c_is_the_ordinary_end_of_watching(palimpsest, palimpsest_server) -> None:
    with Watch(palimpsest_server, "notes/*", "--from", "beginning") as watch:
        palimpsest("set", "notes/1", "1")
        assert watch.process.stdout is not None
        assert "notes/1  version 1  create" in watch.process.stdout.readline()
        watch.process.send_signal(signal.SIGINT)
        _, errors = watch.process.communicate(timeout=30)
        assert watch.process.returncode == 0
        assert errors.startswith("go on with --from 1")


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal there")
def test_sigterm_ends_it_too_with_its_cursor_kept(palimpsest, palimpsest_server, tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    palimpsest("set", "notes/1", "1")
    words = ("**", "--from", "beginning", "--cursor-file", str(path))
    with Watch(palimpsest_server, *words, "--verbose") as watch:
        assert watch.process.stderr is not None
        while watch.process.stderr.readline() != "live\n":
            pass
        watch.process.send_signal(signal.SIGTERM)
        printed, errors = watch.process.communicate(timeout=30)
        assert (watch.process.returncode, errors) == (0, "")
        assert len(printed.splitlines()) == 2
    palimpsest("set", "notes/1", "2")
    assert versions(palimpsest("watch", *words, "--json", "--limit", "1")) == [2]


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
def test_a_reader_that_has_seen_enough_is_no_error(palimpsest, palimpsest_server, tmp_path: Path) -> None:
    """Also while nothing happens any more."""
    path = tmp_path / "cursor"
    palimpsest("set", "a", "1")
    with Watch(palimpsest_server, "**", "--from", "beginning", "--cursor-file", str(path)) as watch:
        assert watch.process.stdout is not None
        assert watch.process.stderr is not None
        watch.process.stdout.readline()
        watch.process.stdout.close()
        assert watch.process.wait(timeout=30) == 0
        assert watch.process.stderr.read() == ""
    palimpsest("set", "a", "2")
    assert versions(palimpsest("watch", "**", "--cursor-file", str(path), "--json", "--limit", "1")) == [2]
