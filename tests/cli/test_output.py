from __future__ import annotations

import json
import os
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta, timezone

import pytest

from palimpsest.cli.output import (
    console,
    delta_json,
    delta_lines,
    json_time,
    print_json,
    print_value,
    readable_time,
)
from palimpsest.state.delta import Delta
from palimpsest.state.ops import Edit, Erase, Splice

EVERY_OP = (
    Delta()
    .set("a.b", 1)
    .replace("a", [1])
    .delete('["odd key"]')
    .increment("n", 2.5)
    .insert("l", 0, "x")
    .append("l", {"k": None})
    .remove("l", 1)
    .move("a", "b.0")
    .copy("b", "c")
    .test("", {})
    .absent("z")
)


def test_every_op_is_a_map_of_its_name_and_its_fields() -> None:
    assert delta_json(EVERY_OP) == [
        {"op": "set", "path": "a.b", "value": 1},
        {"op": "replace", "path": "a", "value": [1]},
        {"op": "delete", "path": '["odd key"]'},
        {"op": "increment", "path": "n", "by": 2.5},
        {"op": "insert", "path": "l", "index": 0, "value": "x"},
        {"op": "append", "path": "l", "value": {"k": None}},
        {"op": "remove", "path": "l", "index": 1},
        {"op": "move", "source": "a", "path": "b.0"},
        {"op": "copy", "source": "b", "path": "c"},
        {"op": "test", "path": "", "value": {}},
        {"op": "absent", "path": "z"},
    ]


def test_every_op_is_a_line_for_people() -> None:
    assert [line.plain for line in delta_lines(EVERY_OP)] == [
        "set a.b 1",
        "replace a [1]",
        'delete ["odd key"]',
        "increment n 2.5",
        'insert l 0 "x"',
        'append l {"k":null}',
        "remove l 1",
        "move a b.0",
        "copy b c",
        "test the root {}",
        "absent z",
    ]


EDITS = (Edit(12, 5, "there"), Edit(20, 1, ""))


def test_edits_are_maps_and_erased_paths_are_written() -> None:
    delta = Delta([Splice(("body",), EDITS), Splice((), ()), Erase(("people", "*", "email"))])
    assert delta_json(delta) == [
        {
            "op": "splice",
            "path": "body",
            "edits": [
                {"offset": 12, "removed": 5, "inserted": "there"},
                {"offset": 20, "removed": 1, "inserted": ""},
            ],
        },
        {"op": "splice", "path": "", "edits": []},
        {"op": "erase", "path": "people.*.email"},
    ]
    assert [line.plain for line in delta_lines(delta)] == [
        'splice body @12 -5 "there" @20 -1 ""',
        "splice the root",
        "erase people.*.email",
    ]
    (line,) = delta_lines(Delta([Splice(("b",), EDITS * 4)]))
    assert line.plain.endswith(" and 3 more edits")


def test_people_are_shown_the_first_of_many_ops_and_the_start_of_long_values() -> None:
    lines = [line.plain for line in delta_lines(Delta().set("a", "x" * 1_000))]
    assert lines == ["set a " + '"' + "x" * 98 + "…"]
    many = Delta(Delta().set("a", 1).ops * 25)
    assert [line.plain for line in delta_lines(many)][-2:] == ["set a 1", "and 5 more ops"]
    assert len(delta_lines(many)) == 21


def test_json_is_one_line_and_text_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": "ü\n文", "large": 2**64 - 1})
    assert capsys.readouterr().out == '{"text":"ü\\n文","large":18446744073709551615}\n'


def test_a_value_is_indented_and_plain_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    print_value({"a": [1, {"b": "[red]"}]})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"a": [1, {"b": "[red]"}]}
    assert shown.startswith('{\n  "a": [\n')
    assert "\x1b" not in shown


def test_times_are_utc_for_programs_and_local_for_people() -> None:
    moment = datetime(2020, 1, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))
    assert json_time(moment) == "2020-01-01T01:03:04.000005Z"
    assert json_time(datetime(2020, 1, 1, tzinfo=UTC)) == "2020-01-01T00:00:00.000000Z"
    assert readable_time(moment) == moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
def test_a_reader_that_is_gone_is_told_of_as_for_any_print() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe, redirect_stdout(pipe):
        with pytest.raises(BrokenPipeError):
            console().print("a")
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), writer)  # where what is left goes, as at the command's end
