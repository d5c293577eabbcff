from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from palimpsest.cli.serve import load_resolvers, make_tls, parse_limits
from palimpsest.client import connect_sync
from palimpsest.errors import UsageError
from palimpsest.limits import Limits
from palimpsest.server import TlsFiles


@contextmanager
def serving(path: Path, *words: str, folder: Path | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A `palimpsest serve` on a free port, and its url."""
    command = [sys.executable, "-m", "palimpsest", "serve", str(path), "--port", "0", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, text=True, **pipes) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            found = re.fullmatch(r"listening on (palimpsest://127\.0\.0\.1:\d+)\n", line)
            assert found, (line, process.stderr and process.stderr.read())
            yield process, found[1]
        finally:
            process.kill()


def test_what_was_written_is_there_after_a_graceful_end(tmp_path: Path) -> None:
    with serving(tmp_path / "state.db", "--log-format", "json") as (process, url):
        with connect_sync(url) as client:
            client.create("notes/1", {"title": "A"}, by="ana")
        process.send_signal(signal.SIGTERM)
        output, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
        assert output == ""  # one line, and nothing after it
        assert all(json.loads(line)["event"] for line in log.splitlines())
    with serving(tmp_path / "state.db") as (process, url):
        with connect_sync(url) as client:
            assert client.get("notes/1").value == {"title": "A"}
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def test_a_store_that_is_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with serving(tmp_path / "state.db"):
        second = run_serve(str(tmp_path / "state.db"), "--port", "0")
        assert second.returncode == 6
        assert second.stdout == ""
        assert second.stderr.startswith("palimpsest: ")
        assert "Traceback" not in second.stderr


def test_an_address_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with serving(tmp_path / "state.db") as (_, url):
        port = url.rpartition(":")[2]
        second = run_serve(str(tmp_path / "other.db"), "--port", port, "--log-level", "error")
        assert second.returncode == 5
        assert re.fullmatch(r"palimpsest: cannot serve .*other\.db at 127\.0\.0\.1:\d+: .*\n", second.stderr)


def run_serve(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "palimpsest", "serve", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_limits_are_numbers_with_known_names() -> None:
    assert parse_limits([]) == Limits()
    changed = parse_limits(["connections_max=100", "document_bytes_max=1_000", "awake_idle_seconds=0.5"])
    assert (changed.connections_max, changed.document_bytes_max, changed.awake_idle_seconds) == (100, 1_000, 0.5)


@pytest.mark.parametrize(
    "word", ["connections=1", "connections_max", "connections_max=1.5", "depth_max=x", "depth_max=0"]
)
def test_what_is_no_limit_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match=f"--limit {re.escape(word)}"):
        parse_limits([word])


# --- resolvers -------------------------------------------------------------------------------------------------------

RULES = """
class Many:
    @staticmethod
    def longest(conflict):
        return max(conflict.ours, conflict.theirs, key=len)

longest = Many.longest
number = 5
"""


@pytest.fixture
def rules_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with modules in it."""
    (tmp_path / "rules_of_a_test.py").write_text(RULES)
    (tmp_path / "broken_of_a_test.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "rules_of_a_test", raising=False)
    return tmp_path


def test_resolvers_are_found_by_name(rules_folder: Path) -> None:
    found = load_resolvers(["a=rules_of_a_test:longest", "b=rules_of_a_test:Many.longest", "c=builtins:max"])
    assert [each.__name__ for each in found.values()] == ["longest", "longest", "max"]
    assert list(found) == ["a", "b", "c"]
    assert load_resolvers([]) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a"], "write NAME=MODULE:FUNCTION"),
        (["a=rules_of_a_test"], "write NAME=MODULE:FUNCTION"),
        (["a=rules_of_a_test:longest", "a=builtins:max"], "there is a rule a already"),
        (["sum=rules_of_a_test:longest"], "there is a rule sum already"),
        (["key:id=rules_of_a_test:longest"], "there is a rule key:id already"),
        (["a=no_such_module_of_a_test:f"], "cannot be imported: No module named"),
        (["a=broken_of_a_test:f"], "cannot be imported: division by zero"),
        (["a=.rules:f"], "cannot be imported"),
        (["a=rules_of_a_test:nix"], "has no function nix"),
        (["a=rules_of_a_test:number"], "has no function number"),
        (["a=rules_of_a_test:Many.nix"], r"has no function Many\.nix"),
    ],
)
def test_a_resolver_that_is_none_is_named(rules_folder: Path, words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_resolvers(words)


def test_a_merge_calls_a_resolver_of_the_server(rules_folder: Path) -> None:
    words = ("--resolver", "longest=rules_of_a_test:longest")
    with serving(rules_folder / "state.db", *words, folder=rules_folder) as (_, url), connect_sync(url) as client:
        client.create("n", {"t": "x"})
        client.branch("n", "draft")
        client.update("n", {"t": "long"}, branch="draft")
        client.update("n", {"t": "longer"})
        client.merge("n", "draft", rules={"t": "longest"})
        assert client.get("n").value == {"t": "longer"}


def test_files_for_tls_go_together(tmp_path: Path) -> None:
    assert make_tls(None, None, None) is None
    assert make_tls(tmp_path / "cert", tmp_path / "key", None) == TlsFiles(tmp_path / "cert", tmp_path / "key")
    for arguments in ((None, tmp_path / "key", None), (None, None, tmp_path / "ca")):
        with pytest.raises(UsageError, match="--tls-cert"):
            make_tls(*arguments)
