from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest

from palimpsest.cli.proof import parse_kept, verdict_lines
from palimpsest.errors import UsageError
from palimpsest.server.proof import Fault, Verdict

KEPT = {"document": "d", "branch": "main", "version": 3, "digest": "ab" * 32}


def test_kept_digests_are_read_line_by_line() -> None:
    text = json.dumps(KEPT) + "\n\n" + json.dumps(KEPT | {"version": 4, "note": "more keys do not matter"})
    assert parse_kept(text) == [("d", "main", 3, b"\xab" * 32), ("d", "main", 4, b"\xab" * 32)]


@pytest.mark.parametrize(
    "line", ["nonsense", "{}", json.dumps(KEPT | {"digest": "xyz"}), json.dumps(KEPT | {"digest": "ab"}), "[]"]
)
def test_a_line_that_is_no_digest_is_named(line: str) -> None:
    with pytest.raises(UsageError, match="line 2 is none that `digest` prints"):
        parse_kept(json.dumps(KEPT) + "\n" + line)


def test_a_verdict_for_people() -> None:
    sound = Verdict(2, 1_000, 30, (), 0)
    assert [line.plain for line in verdict_lines(sound)] == [
        "2 streams, 1,000 events, 30 journal batches: all as it should be"
    ]
    fault = Fault("notes/1", "main", 3, 17, "its digest differs")
    broken = Verdict(
        2,
        1_000,
        30,
        (fault, Fault(None, None, None, 9, "no batch"), Fault(None, None, None, None, "no end")),
        5,
        ["d version 2 is pruned"],
    )
    assert [line.plain for line in verdict_lines(broken)] == [
        "2 streams, 1,000 events, 30 journal batches, 5 digests that had been kept: 3 faults",
        "    notes/1 on main  version 3  position 17  its digest differs",
        "      position 9  no batch",
        "    no end",
        "    d version 2 is pruned",
    ]


# --- with a store ----------------------------------------------------------------------------------------------------


def test_a_digest_is_one_line_that_verifies(stored, tmp_path: Path) -> None:
    stored("set", "d", "1")
    stored("update", "d", "=2")
    found = stored("digest", "d", "--version", "1")
    assert found.exit_code == 0, found.stderr
    kept = json.loads(found.stdout)
    assert (kept["document"], kept["branch"], kept["version"]) == ("d", "main", 1)
    assert re.fullmatch("[0-9a-f]{64}", kept["digest"])
    newest = json.loads(stored("digest", "d").stdout)
    assert newest["version"] == 2
    (tmp_path / "kept").write_text(found.stdout)
    stored("stats")  # which answers once everything is archived
    verified = stored("verify", str(stored.path), "--against", str(tmp_path / "kept"), "--json")
    assert verified.exit_code == 0, verified.stdout
    answer = json.loads(verified.stdout)
    assert (answer["events"], answer["checked_against"], answer["faults"]) == (2, 1, [])
    other = json.dumps(kept | {"version": 2})
    differing = stored("verify", str(stored.path), "--against", "-", stdin=other)
    assert differing.exit_code == 1
    assert "d on main  version 2" in differing.stdout


def test_verify_works_on_a_store_that_is_not_served(stored) -> None:
    stored("set", "d", '{"a": 1}')
    stored("stats")
    stored.stop()
    assert "all as it should be" in stored("verify", str(stored.path), "--no-values").stdout
    archive = next(path for path in stored.path.parent.iterdir() if path.name.endswith(".archive"))
    with sqlite3.connect(archive) as database:
        database.execute("UPDATE streams SET digest = zeroblob(32)")
    database.close()
    broken = stored("verify", str(stored.path), "--json")
    assert broken.exit_code == 1
    (fault,) = json.loads(broken.stdout)["faults"]
    assert (fault["document"], fault["branch"]) == ("d", "main")


def test_verify_wants_a_store(palimpsest, tmp_path: Path) -> None:
    assert palimpsest("verify", str(tmp_path / "nothing")).exit_code == 2
