"""The blocks of a page as one story: told in their order, in one folder, to one server, whose address each of them finds.

Commands are typed into one bash. Fragments of Python run in one coroutine and find `pal`, `client` (connected to the server),
`url`, `exits` (what is entered there is left at the end), `EXAMPLES` (their folder), and some modules that pages use.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import json
import re
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
from anyio.to_thread import run_sync
from blocks_kit import Block
from shell_kit import LANGUAGES, Command, Shell, commands_of
from shown_kit import Names
from starter_kit import Starter

import palimpsest as pal

ELSEWHERE = {"http.md": ("http", *LANGUAGES)}
"""Of these pages, by language, the blocks that another test runs: that of the gateway."""

_ADDRESS = "127.0.0.1:7411"
"""Where a page says that its server is. Each run has another, as this one may be taken on a machine."""

_FOLDER = "/srv"
"""Where a page says that it is."""

_SECONDS = 60


def belongs(block: Block) -> bool:
    """Whether it is told in its page's story, and not run by itself."""
    if block.is_excused or block.shown or block.language in ELSEWHERE.get(block.page.name, ()):
        return False
    if "file" in block.marks or block.language in LANGUAGES:
        return True
    return block.language == "python" and not block.is_tests and (not block.is_script or _ADDRESS in block.text)


def tell(blocks: Sequence[Block], starter: Starter) -> None:
    """Raises AssertionError, with a note about the place, where something is not as the page says."""
    asyncio.run(_tell(blocks, starter))


async def _tell(blocks: Sequence[Block], starter: Starter) -> None:
    scope: dict[str, Any] = {"pal": pal, "asyncio": asyncio, "json": json, "Path": Path, "timedelta": timedelta}
    scope["EXAMPLES"] = Path(__file__).parent.parent / "examples"
    parts: list[list[Block]] = [[]]
    for block in blocks:
        if "fresh" in block.marks:
            parts.append([])
        parts[-1].append(block)
    for part in parts:
        with (
            anyio.fail_after(_SECONDS),
            tempfile.TemporaryDirectory() as folder,
            contextlib.chdir(folder),
            Shell(Path(folder), starter.environment(COLUMNS="200", HOME=folder, TZ="UTC")) as shell,
        ):
            await _Part(Path(folder), shell, scope).tell(part)


class _Part:
    """What is told to one server."""

    def __init__(self, folder: Path, shell: Shell, scope: dict[str, Any]) -> None:
        self._folder = folder
        self._shell = shell
        self._scope = scope
        self._names = Names()
        self._url: str | None = None
        self._client: pal.Client | None = None

    async def tell(self, blocks: Sequence[Block]) -> None:
        async with AsyncExitStack() as self._exits:
            for block in blocks:
                try:
                    await self._tell(block)
                except Exception as error:
                    error.add_note(f"in the block at {block.place}")
                    raise

    async def _tell(self, block: Block) -> None:
        if "setup" in block.marks:
            await self._run(block.marks["setup"], f"set-up of {block.place}")
        if "file" in block.marks:
            self._write(block)
        elif block.language in LANGUAGES:
            await self._type(block)
        elif block.is_script:
            self._write(block, "example.py")
            await self._command(Command("python example.py", block.printed or ""))
        else:
            await self._fragment(block)

    def _write(self, block: Block, name: str = "") -> None:
        file = self._folder / (name or block.marks["file"])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._names.put_in(block.text), encoding="utf-8")

    # --- commands ---

    async def _type(self, block: Block) -> None:
        codes = [code for command in commands_of(block) if (code := await self._command(command))]
        assert codes == [int(code) for code in block.marks.get("exits", "").split(",") if code]

    async def _command(self, command: Command) -> int:
        """Its exit code. What it prints is compared where it is shown."""
        if command.serves:
            await self._serve(command)
            return 0
        await self._find_server()
        printed, code = await run_sync(self._shell.run, self._names.put_in(command.typed), command.answers)
        if command.shown:
            self._names.compare(command.shown, printed.replace(str(self._folder), _FOLDER))
        elif code:
            raise AssertionError(f"{command.typed}: {printed}")
        return code

    async def _serve(self, command: Command) -> None:
        """A server at a free port. What served before is stopped: a page has one server at a time."""
        typed = re.sub(r"(--http[= ]\S*:)\d+", r"\g<1>0", command.typed)
        typed, given = re.subn(r"(--port[= ])\d+", r"\g<1>0", typed)
        if not given and " serve" in typed:
            typed = f"{typed.rstrip('& ')} --port 0"
        if " serve" in typed:
            await run_sync(self._shell.stop)
            self._names.forget_addresses()
        lines = max(1, command.shown.count("listening on"))
        printed = await run_sync(self._shell.start, self._names.put_in(typed), lines)
        self._names.compare(command.shown or f"listening on palimpsest://{_ADDRESS}\n", printed)
        found = re.search(r"palimpsests?://\S+", printed)
        if found is not None:
            self._client = None
            self._url = found[0]
            await run_sync(self._shell.run, f"export PALIMPSEST_URL={found[0]}")

    async def _find_server(self) -> None:
        if self._url is None:
            await self._serve(Command("palimpsest serve state.db", ""))

    # --- Python ---

    async def _fragment(self, block: Block) -> None:
        printed = _Printed((block.printed or "").count("\n"))
        try:
            with contextlib.redirect_stdout(printed):
                if "meanwhile" in block.marks:
                    await self._beside(block, printed)
                else:
                    await self._run(block.text, block.place)
        except Exception as error:
            if type(error).__name__ != block.marks.get("raises"):
                raise
        else:
            assert "raises" not in block.marks, f"nothing was raised: {block.marks['raises']}"
        if block.printed is not None:
            self._names.compare(block.printed, printed.getvalue())

    async def _beside(self, block: Block, printed: _Printed) -> None:
        """The block, until what is beside it has run and everything that it is to print is there."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run, block.text, block.place)
            assert self._client is not None
            await anyio.lowlevel.checkpoint()
            await self._client.stats()  # the server has heard of what the block asked for first
            await self._run(block.marks["meanwhile"], f"beside {block.place}")
            await printed.enough.wait()
            tasks.cancel_scope.cancel()

    async def _run(self, text: str, place: str) -> None:
        self._scope |= {"client": await self._connected(), "url": self._url, "exits": self._exits}
        code = compile(self._names.put_in(text), place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(code, self._scope)
        if inspect.iscoroutine(running):
            await running

    async def _connected(self) -> pal.Client:
        if self._client is None:
            await self._find_server()
            assert self._url is not None
            self._client = await self._exits.enter_async_context(pal.connect(self._url))
        return self._client


class _Printed(io.StringIO):
    """enough: is set once it has this many lines, and at least one."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._lines = max(lines, 1)
        self.enough = asyncio.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.getvalue().count("\n") >= self._lines:
            self.enough.set()
        return written
