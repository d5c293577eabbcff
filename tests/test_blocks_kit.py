"""What runs the blocks of pages sees where a page does not say what is so."""

from __future__ import annotations

from pathlib import Path

import pytest
from blocks_kit import Block, blocks_of, prose_of
from shell_kit import Command, commands_of
from shown_kit import Names
from starter_kit import Starter
from story_kit import belongs, tell

PAGE = """\
A page with [a link](there.md).

<!-- setup:
x = 1
-->
```python
print(x)
```

```text
1
```

  - in a list, ~~~ is a fence, too

    <!-- not run: why -->
    ~~~console title="as seen"
    $ palimpsest list
    ```
    ~~~

<!-- raises: KeyError -->

Something between a mark and a block takes it away.

```text
[no link](nowhere.md)
```
"""


@pytest.fixture
def blocks(tmp_path: Path) -> list[Block]:
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    return blocks_of(tmp_path / "page.md")


def test_blocks_and_their_marks(blocks: list[Block]) -> None:
    assert [(block.language, block.text, block.marks) for block in blocks] == [
        ("python", "print(x)\n", {"setup": "x = 1"}),
        ("text", "1\n", {}),
        ("console", "$ palimpsest list\n```\n", {"not run": "why"}),
        ("text", "[no link](nowhere.md)\n", {}),
    ]
    assert [PAGE.splitlines()[block.line - 1].strip() for block in blocks] == [
        block.text.splitlines()[0] for block in blocks
    ]


def test_what_a_block_prints_is_right_behind_it(blocks: list[Block]) -> None:
    assert [block.printed for block in blocks] == ["1\n", None, None, None]
    assert [block.shown for block in blocks] == [False, True, False, False]


def test_what_is_excused_is_not_told(blocks: list[Block]) -> None:
    assert [belongs(block) for block in blocks] == [True, False, False, False]


def test_prose_is_what_is_left(blocks: list[Block]) -> None:
    prose = prose_of(blocks[0].page)
    assert "a link" in prose
    assert "between a mark" in prose
    for gone in ("print", "palimpsest", "nowhere", "setup", "raises", "```"):
        assert gone not in prose


def test_a_block_that_is_not_closed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("```python\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"page\.md:1: the block is not closed"):
        blocks_of(tmp_path / "page.md")


def of(language: str, text: str, printed: str | None = None, **marks: str) -> Block:
    named = {name.replace("_", " "): said for name, said in marks.items()}
    return Block(Path("page.md"), 1, language, text, named, printed)


# --- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("$ a 1 \\\n    2\nout\nput\n$ b\n", [("a 1 2", "out\nput\n"), ("b", "")]),
        ("# what it does\na 1\n\nb\n", [("a 1 && b", "")]),
        ("$ sudo systemctl start x\n$ pip install x\n$ a\n", [("a", "")]),
        ("make serve\npip install x\n", []),
    ],
)
def test_commands(text: str, commands: list[tuple[str, str]]) -> None:
    assert [(command.typed, command.shown) for command in commands_of(of("console", text))] == commands


@pytest.mark.parametrize(
    ("typed", "serves"),
    [
        ("palimpsest serve state.db &", True),
        ("palimpsest --url palimpsest://x:1 gateway --http 127.0.0.1:7412", True),
        ("palimpsest serve --config palimpsest.toml --check", False),
        ("palimpsest get serve", False),
    ],
)
def test_what_goes_on_until_it_is_stopped(typed: str, serves: bool) -> None:
    assert Command(typed, "").serves is serves


def test_answers() -> None:
    assert Command("palimpsest prune", "would\nPrune? [y/N] y\npruned\nReally? [y/N] no\n").answers == "y\nno\n"


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("at 2026-11-21 09:30:05, 1.2 MB in 40.9 s\n", "at 2031-01-02 10:11:12, 930 kB in 0.1 s\n\n"),
        ("one\n...\nfour\n", "one\ntwo\nthree\nfour\n"),
        ("one\n...\nfour\n", "one\nfour\n"),
        ("x ... z\n", "x y z\n"),
        ("Prune? [y/N] y\npruned\n", "Prune? [y/N] pruned\n"),
        ("51f5f560fe9afa9b, 51f5f560fe9afa9b\n", "aaaaaaaaaaaaaaaa, aaaaaaaaaaaaaaaa\n"),
    ],
)
def test_the_same_but_for_what_differs(shown: str, printed: str) -> None:
    Names().compare(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("at 2026-11-21 09:30:05\n", "at 2026-11-21 09:30\n"),
        ("one\n", "one\ntwo\n"),
        ("one\ntwo\n", "one\n"),
        ("", "one\n"),
        ("a.b\n", "axb\n"),
        ("3 versions\n", "4 versions\n"),
        ("51f5f560fe9afa9b, 51f5f560fe9afa9b\n", "aaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbb\n"),
    ],
)
def test_a_difference_is_seen(shown: str, printed: str) -> None:
    with pytest.raises(AssertionError):
        Names().compare(shown, printed)


def test_names_stand_for_what_was_printed_in_their_place() -> None:
    names = Names()
    names.compare("pal_5284c4bde0b5_9f0c... at 127.0.0.1:7411\n", "pal_aaaaaaaaaaaa_bbbb at 127.0.0.1:40123\n")
    assert names.put_in("use pal_5284c4bde0b5_9f0c... there") == "use pal_aaaaaaaaaaaa_bbbb there"
    assert names.put_in("palimpsest://127.0.0.1:7411") == "palimpsest://127.0.0.1:40123"
    with pytest.raises(AssertionError):
        names.compare("pal_5284c4bde0b5_9f0c...\n", "pal_aaaaaaaaaaaa_cccc\n")
    names.forget_addresses()
    assert names.put_in("127.0.0.1:7411") == "127.0.0.1:7411"


# --- stories ---------------------------------------------------------------------------------------------------------

CREATE = of("python", 'made = await client.create("notes/1", {"n": 1})\n')


def test_a_story(starter: Starter) -> None:
    loop = 'async with client.subscribe("notes/1") as changes:\n    async for change in changes:\n        print(change.version)\n'
    tell(
        [
            CREATE,
            of("console", "$ palimpsest get notes/1 2> /dev/null\n{\n  ...\n}\n"),
            of("python", "print(made.version)\n", "1\n"),
            of("python", 'await client.create("notes/1", {})\n', raises="DocumentExists"),
            of("python", loop, "2\n3\n", meanwhile='for n in range(2): await client.update("notes/1", {"n": n})'),
            of("console", "$ palimpsest get nowhere\n...\n", exits="3"),
            of("python", 'print([name async for name in client.list("**")])', "[]\n", fresh=""),
        ],
        starter,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        of("console", "$ palimpsest get nowhere\n"),
        of("console", "$ palimpsest get notes/1\nnothing\n"),
        of("console", "$ palimpsest list\n", exits="1"),
        of("python", "print(1)\n", "2\n"),
        of("python", "pass\n", raises="KeyError"),
    ],
    ids=["a command that fails", "another output", "a command that does not fail", "another print", "no error"],
)
def test_a_story_that_is_not_so(wrong: Block, starter: Starter) -> None:
    with pytest.raises(AssertionError):
        tell([CREATE, wrong], starter)


def test_a_server_that_does_not_start(starter: Starter) -> None:
    with pytest.raises(AssertionError, match="--limit nothing"):
        tell([of("console", "$ palimpsest serve state.db --limit nothing=1\n")], starter)
