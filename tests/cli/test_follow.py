from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

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


@pytest.fixture
def start(palimpsest, palimpsest_server, palimpsest_sync_client) -> str:
    """A cursor that lies before all that the test writes."""
    with palimpsest_sync_client.subscribe("**") as changes:
        return changes.cursor


def test_watch_resumes_and_prints_a_line_for_each_change(palimpsest, start: str, story) -> None:
    watched = palimpsest("watch", "notes/*", "--resume-after", start, "--count", "3", "--json", "--values")
    assert watched.exit_code == 0, watched.stderr
    lines = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [(line["version"], line["kind"], line["by"]) for line in lines] == [
        (1, "create", "ana"),
        (2, "update", "bo"),
        (3, "delete", None),
    ]
    assert [line["value"] for line in lines] == [{"title": "A"}, {"title": "B", "stars": 1}, None]
    rest = palimpsest("watch", "notes/*", "--resume-after", lines[0]["cursor"], "--count", "1", "--json")
    assert json.loads(rest.stdout)["version"] == 2


def test_watch_for_people(palimpsest, start: str, story) -> None:
    watched = palimpsest("watch", "notes/1", "--resume-after", start, "--count", "2", "--values")
    assert "notes/1  version 2  update" in watched.stdout
    assert '    set title "B"' in watched.stdout
    assert '"stars": 1' in watched.stdout


def test_a_cursor_of_another_server_has_its_own_code(palimpsest) -> None:
    assert palimpsest("watch", "**", "--resume-after", "nonsense", "--count", "1").exit_code == 8


def test_control_c_is_the_ordinary_end_of_watching(palimpsest, palimpsest_server, start: str) -> None:
    with Watch(palimpsest_server, "notes/*", "--resume-after", start) as watch:
        palimpsest("set", "notes/1", "1")
        assert watch.process.stdout is not None
        assert "notes/1  version 1  create" in watch.process.stdout.readline()
        watch.process.send_signal(signal.SIGINT)
        _, errors = watch.process.communicate(timeout=30)
        assert watch.process.returncode == 0
        assert "go on with --resume-after " in errors


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
def test_a_reader_that_has_seen_enough_is_no_error(palimpsest, palimpsest_server, start: str) -> None:
    with Watch(palimpsest_server, "**", "--resume-after", start, "--json") as watch:
        palimpsest("set", "a", "1")
        assert watch.process.stdout is not None
        assert watch.process.stderr is not None
        watch.process.stdout.readline()
        watch.process.stdout.close()
        palimpsest("set", "a", "2")
        assert watch.process.wait(timeout=30) == 0
        assert watch.process.stderr.read() == ""
