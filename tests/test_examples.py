"""The examples of the guides, run to their end: what they print is what each of them is there to show, and what its guide says."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from pathlib import Path

import pytest

import palimpsest as pal

ROOT = Path(__file__).parent.parent
GUIDES = {
    "configuration_store": "configuration",
    "agent_sessions": "agents",
    "ingestion_pipeline": "ingestion",
    "inventory": "inventory",
}
"""By example: its guide."""


@pytest.fixture
def printed(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that an example prints."""
    path = ROOT / "examples" / f"{request.param}.py"
    spec = importlib.util.spec_from_file_location(request.param, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pal.run(module.main)
    return capsys.readouterr().out.splitlines()


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("printed", [name], indirect=True)


@of("configuration_store")
def test_each_component_sees_its_part_and_what_was_released_comes_back(printed: list[str]) -> None:
    web = [line for line in printed if line.startswith("web")]
    mailer = [line for line in printed if line.startswith("mailer")]
    assert "p4ssw0rd" not in "".join(printed)
    assert all("mail" not in line for line in web)
    assert all("database" not in line and "features" not in line for line in mailer)
    assert [re.findall(r"'retries': (\d)", line) for line in mailer] == [["3"], ["9"], ["3"]]
    assert web[0] == web[-1], "rolled back"
    assert [line for line in printed if line.startswith("refused: ")] == [
        "refused: database.pool properties.database.properties.pool.minimum",
        "refused: forbidden",
    ]
    assert printed[-2:] == ["version 5 is 2031-06 released", "version 1 is 2031-05 released"]


@of("agent_sessions")
def test_a_session_takes_one_of_two_ways_and_loses_a_wrong_tool_call(printed: list[str]) -> None:
    assert "took try/friendly as version 5" in printed
    assert "facts after version 6 are {'rain': True}" in printed
    assert any(line.startswith("agent:friendly on try/friendly, version 3: ") for line in printed)
    assert not any(line.startswith("agent:formal on") for line in printed)
    assert "at version 3, facts were {'carrier': 'owl post', 'day': 'never'}" in printed


@of("ingestion_pipeline")
def test_what_arrives_is_parsed_once_or_put_aside_until_it_can_be(printed: list[str]) -> None:
    assert "versions of a: [(1, 'worker-0')]" in printed, "its change was delivered twice"
    assert sum(line.startswith("put aside: ") for line in printed) == 1
    assert any(line.startswith("inbox/b failed 2 times: ") for line in printed)
    articles = [line for line in printed if line.startswith("articles/")]
    assert [line.rpartition(" ")[2] for line in articles] == ["strict", "lenient", "strict"]


@of("inventory")
def test_both_sides_change_and_neither_loses(printed: list[str]) -> None:
    assert "  in  delete b2: apply" in printed
    assert "  out create p1: apply" in printed
    assert "  rack.b1.attrs.slots was 42, is 40 here and 44 there" in printed
    assert "in step: True [('b1', 'bremen', 40), ('m1', 'milan', 24), ('p1', 'porto', 12)]" in printed


@pytest.mark.parametrize(("printed", "guide"), list(GUIDES.items()), indirect=["printed"])
def test_the_guide_shows_what_is_printed(printed: list[str], guide: str) -> None:
    page = (ROOT / "docs" / "guides" / f"{guide}.md").read_text(encoding="utf-8")
    _, found, whole = page.partition("## The whole program")
    assert found
    shown = "".join(line for line in whole.splitlines(keepends=True) if line.startswith("    "))
    assert textwrap.dedent(shown).splitlines() == printed


def test_every_example_is_run() -> None:
    elsewhere = {"csv_inventory", "sqlite_inventory", "two_servers"}  # by tests/sync
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == GUIDES.keys() | elsewhere
