"""What the console works out itself, held against what the server does: paths, deltas, differences, drafts, JSON without loss."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

import palimpsest as pal
from palimpsest.counting import Histogram, HistogramData, quantile, since
from palimpsest.errors import PalimpsestError
from palimpsest.state.paths import format_path, parse_path
from palimpsest.web.ops import NewOp, delta_of, ops_of
from tests.browser.conftest import Site
from tests.state.state_strategies import any_op, documents, model_apply_fitting, plain_values

Ask = Callable[[str, Any], Any]
"""A function in JavaScript, which is given the modules and an argument as JSON, and what it answers."""

_MODULES = ("json", "paths", "delta", "draft", "sse", "observation")
_decode_ops = msgspec.json.Decoder(list[NewOp]).decode

KEYS = st.one_of(st.text(max_size=6), st.sampled_from(["odd.key", "0", "a b", 'q"q', "[x]", "é☃", "__proto__", ""]))


@pytest.fixture
def ask(site: Site, page: Page) -> Ask:
    page.goto(f"{site.url}/")
    imports = ", ".join(f"{name}: await import('/console/lib/{name}.js')" for name in _MODULES)
    page.evaluate(f"async () => {{ globalThis.lib = {{ {imports} }}; }}")

    def run(script: str, argument: Any) -> Any:
        text = msgspec.json.encode(argument).decode()
        return json.loads(page.evaluate(f"text => lib.json.stringify(({script})(lib.json.parse(text)))", text))

    return run


def json_of(delta: pal.Delta) -> Any:
    return [msgspec.to_builtins(op) for op in ops_of(delta)]


def alike(one: Any, other: Any) -> bool:
    """Equal, but for the last bit of a sum: a browser does not tell 1.0 from 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other or math.isclose(one, other, rel_tol=1e-15)
    return bool(one == other)


def test_paths_are_written_and_read_as_the_server_does(ask: Ask) -> None:
    @settings(max_examples=100)
    @given(st.lists(st.one_of(KEYS, st.integers(0, 9_999)), max_size=5))
    def holds(steps: list[str | int]) -> None:
        text = format_path(tuple(steps))
        assert ask("lib.paths.formatPath", steps) == text
        assert ask("lib.paths.parsePath", text) == steps

    holds()


@pytest.mark.parametrize("text", [".a", "a.", "a..b", "a[0]", 'a["x"', "a b", "00", "a.01", "[", '["x"]y'])
def test_what_is_no_path_is_refused_as_the_server_does(ask: Ask, text: str) -> None:
    with pytest.raises(PalimpsestError):
        parse_path(text)
    tried = "text => { try { lib.paths.parsePath(text); return null; } catch (error) { return error.name; } }"
    assert ask(tried, text) == "SyntaxError"


def test_a_delta_does_what_it_does_on_the_server(ask: Ask) -> None:
    cases = documents().flatmap(lambda value: st.tuples(st.just(value), st.lists(any_op(value), max_size=5)))

    @settings(max_examples=150)
    @given(cases)
    def holds(case: tuple[Any, list[Any]]) -> None:
        value, some = case
        after, fitting = model_apply_fitting(value, some)
        found = ask("([value, ops]) => lib.delta.applyDelta(value, ops)", [value, json_of(pal.Delta.from_ops(fitting))])
        assert alike(found, after), (value, fitting, found, after)

    holds()


def test_a_difference_is_a_delta_that_leads_there(ask: Ask) -> None:
    @settings(max_examples=150)
    @given(documents(), documents())
    def holds(before: Any, after: Any) -> None:
        found = ask("([before, after]) => lib.delta.difference(before, after)", [before, after])
        delta = delta_of(_decode_ops(json.dumps(found).encode()))
        assert alike(delta.apply(before), after), (before, after, found)

    holds()


def test_a_draft_goes_on_from_what_others_did_without_losing_any_of_it(ask: Ask) -> None:
    """Wherever only one side has changed something, its change is there afterwards; and what both changed is put to choice."""
    rebase = """([base, mine, theirs]) => {
      const draft = lib.draft.withOps(lib.draft.startDraft(1, base), lib.delta.difference(base, mine));
      const { draft: next, clashes } = lib.draft.rebase(draft, 2, theirs, lib.delta.difference(base, theirs));
      const whole = clashes.reduce(lib.draft.takeMine, next);
      return { clean: next.value, whole: whole.value, clashes: clashes.map((clash) => lib.paths.formatPath(clash.path)) };
    }"""

    flat = st.dictionaries(
        st.sampled_from("abcdef"), st.one_of(st.integers(0, 2), st.lists(st.integers(0, 2), max_size=3)), max_size=6
    )

    @settings(max_examples=100)
    @given(flat, flat, flat)
    def holds(base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> None:
        found = ask(rebase, [base, mine, theirs])
        clashing = {path.partition(".")[0] for path in found["clashes"]}
        for key in base.keys() | mine.keys() | theirs.keys():
            old, ours, other = (value.get(key) for value in (base, mine, theirs))
            clean, whole = found["clean"].get(key), found["whole"].get(key)
            if old == other:
                assert clean == ours, (key, base, mine, theirs, found)
            elif old == ours:
                assert clean == other, (key, base, mine, theirs, found)
            elif key in clashing:
                assert whole == ours or (isinstance(ours, list) and isinstance(other, list))
            elif not (isinstance(ours, list) and isinstance(other, list)):
                assert ours == other, (key, base, mine, theirs, found)

    holds()


def test_json_loses_nothing(ask: Ask) -> None:
    @settings(max_examples=100)
    @given(plain_values())
    def holds(value: Any) -> None:
        assert ask("value => value", value) == value

    holds()


def test_an_event_stream_is_read_in_whatever_pieces_it_comes(site: Site, page: Page, ask: Ask) -> None:
    text = ": alive\r\n\r\nid: 7\nevent: change\ndata: {\ndata: }\n\ndata:x\r\rretry: 2\n\nevent: state\ndata: é\n\n"
    read = """([text, size]) => {
      const events = [];
      const read = lib.sse.eventReader((event) => events.push(event));
      for (let at = 0; at < text.length; at += size) read(text.slice(at, at + size));
      return events;
    }"""
    expected = [
        {"event": "change", "data": "{\n}", "id": "7"},
        {"event": "message", "data": "x", "id": None},
        {"event": "state", "data": "é", "id": None},
    ]
    for size in range(1, len(text) + 1):
        assert ask(read, [text, size]) == expected


def test_histograms_are_read_as_the_server_does(ask: Ask) -> None:
    script = "([before, now, q]) => { const past = lib.observation.since(before, now); return [past, lib.observation.quantile(past, q)]; }"
    numbers = st.lists(st.floats(0, 20), max_size=12)

    @given(numbers, numbers, st.floats(0, 1), st.booleans())
    @settings(max_examples=40)
    def holds(first: list[float], then: list[float], q: float, restarted: bool) -> None:
        before, now = Histogram((1.0, 2.5, 10.0)), Histogram((1.0, 2.5, 10.0))
        for number in first:
            before.add(number)
        for number in then if restarted else [*first, *then]:
            now.add(number)
        past = since(before.data(), now.data())
        theirs, about = ask(script, [plain(before.data()), plain(now.data()), q])
        assert theirs["counts"] == list(past.counts)
        assert alike(theirs["sum"], past.sum)
        assert alike(about, quantile(past, q))

    holds()


def plain(data: HistogramData) -> Any:
    return {"bounds": data.bounds, "counts": data.counts, "sum": data.sum}
