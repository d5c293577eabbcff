"""How a command reaches its server, and how it ends when something fails.

A command is a plain function; what it asks of the server is a coroutine that `ask_server` runs to its end on a connection of
its own. Errors pass through the commands untouched: `Commands` turns them into one line and an exit code, in one place.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import typer
from typer.core import TyperGroup

from palimpsest.cli.exits import Exit, exit_code, plain_error, print_failure
from palimpsest.cli.git.importer import HistoryRewritten
from palimpsest.cli.git.repository import GitFailed
from palimpsest.client import Client, connect
from palimpsest.errors import PalimpsestError, UsageError
from palimpsest.running import run

DEFAULT_PORT = 7411
DEFAULT_URL = f"palimpsest://127.0.0.1:{DEFAULT_PORT}"

_Answer = TypeVar("_Answer")


class Settings(msgspec.Struct, frozen=True):
    """What is said once for all commands, before the command's name."""

    url: str = DEFAULT_URL
    timeout_seconds: float = 30.0
    token: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def connect(self) -> Client:
        """Raises InvalidRequest for files that cannot be used, and UsageError for a key without a certificate."""
        return connect(
            self.url,
            token=self.token,
            tls=self._context(),
            ca=self.ca if self.cert is None else None,
            timeout_seconds=self.timeout_seconds,
            connect_seconds=0,
        )

    def _context(self) -> ssl.SSLContext | None:
        """With the certificate to be shown, if there is one."""
        if self.cert is None:
            if self.key is not None:
                raise UsageError("--key is the key of a certificate: add --cert")
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.load_cert_chain(self.cert, self.key)
        except OSError as error:  # those of ssl are among them
            raise UsageError(f"--cert, --key and --ca are files in PEM: {error}") from error
        return context


def ask_server(context: typer.Context, ask: Callable[[Client], Awaitable[_Answer]]) -> _Answer:
    """Connects, runs `ask`, disconnects. Raises what `ask` raises, and ConnectionLost where nobody listens."""
    settings: Settings = context.obj

    async def connected() -> _Answer:
        async with settings.connect() as client:
            return await ask(client)

    return run(connected)


class Commands(TyperGroup):
    """The group of all commands: ends the process with a documented exit code, whatever a command raises."""

    def invoke(self, ctx: Any) -> Any:
        try:
            answer = super().invoke(ctx)
            sys.stdout.flush()
            return answer
        except BrokenPipeError:
            # The reader has seen enough, as `head` does. What Python still holds for it must not be written at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(Exit.OK) from None
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None
        except (PalimpsestError, GitFailed, HistoryRewritten, BaseExceptionGroup) as error:
            plain = plain_error(error)
            if not isinstance(plain, (PalimpsestError, GitFailed, HistoryRewritten)):
                raise
            print_failure(plain)
            raise typer.Exit(exit_code(plain)) from error
