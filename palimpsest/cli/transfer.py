"""`export` and `import history`: documents with all that is kept of their history, one line of JSON a version."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer

from palimpsest.cli.options import AsJson, Pattern
from palimpsest.cli.output import counted, print_json, remark
from palimpsest.cli.progress import OnProgress, progress_bar
from palimpsest.cli.session import ask_server
from palimpsest.cli.viewing import Family, Level, Perspective, make_view
from palimpsest.client import Client
from palimpsest.errors import UsageError

_TOLD_LINES = 256
"""Progress is told every so many lines."""

_HEADER = b'{"palimpsest":'
"""What the first line of every export begins with."""

_TAIL_BYTES = 64 * 1024
"""How much of a file's end is looked at first, to find its last line."""

_PLACE = ("document", "branch", "version")
Place = tuple[str, str, int]
"""A document, its branch and a version."""

Scope = Mapping[str, Any]
"""What is exported of documents: the named arguments of the API, and what the header says of it."""

_SCOPE = ("branch", "perspective", "family", "level")
_EXPORTED = ("documents", *_SCOPE)


def export(
    context: typer.Context,
    pattern: Pattern = "**",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new file; stdout if not given.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with FILE where an earlier export of the same was ended.")
    ] = False,
    branch: Annotated[
        str | None,
        typer.Option(
            metavar="BRANCH", help="The history of this branch alone, to be imported as main; else all of them."
        ),
    ] = None,
    perspective: Perspective = None,
    family: Family = None,
    level: Level = None,
    as_json: AsJson = False,
) -> None:
    """Write documents with their history as lines of JSON: a header, then one line a version.

    Each document is as of its own moment; for a copy of the whole store as of one moment there is backup.
    """
    scope: Scope = {"branch": branch, **make_view(perspective, family, level)}
    if output is None:
        if resume:
            raise UsageError("--resume goes on with a file: name it with -o")
        ask_server(context, lambda client: _write(client, pattern, scope, None, sys.stdout.buffer))
        return
    with _open(output, resume=resume) as file:
        after = resume_place(file, pattern, scope) if resume else None
        written = ask_server(context, lambda client: _write(client, pattern, scope, after, file))
    if as_json:
        print_json({"file": str(output), "versions": written})
    else:
        remark(f"{counted(written, 'version')} written to {output}")


def import_history(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `export` wrote; - reads stdin.")],
    as_json: AsJson = False,
) -> None:
    """Add the versions of an export, with their times and authors. What is there already is passed over.

    An import that was ended can be done again. A line that is wrong is named; what came before it is imported.
    """
    with _source(file) as lines, progress_bar("importing", "bytes") as on_progress:
        report = ask_server(context, lambda client: client.import_history(_told(lines, on_progress)))
    if as_json:
        print_json(
            {
                "lines": report.lines,
                "documents": report.documents,
                "versions": report.versions,
                "present": report.present,
            }
        )
        return
    there = f"; {report.present:,} were there already" if report.present else ""
    remark(f"{counted(report.versions, 'version')} of {counted(report.documents, 'document')} imported{there}")


def resume_place(file: BinaryIO, pattern: str, scope: Scope) -> Place | None:
    """Where an export that was ended goes on; a line that is torn is cut off. None: from the beginning, and nothing is left.

    Raises UsageError where the file is no export of pattern, or of something else of the documents than scope.
    """
    file.seek(0)
    header = file.readline()
    if not header.endswith(b"\n") and _begins_header(header):
        file.truncate(0)
        return None
    _check_header(header, pattern, scope)
    last, end = _last_line(file)
    if end == len(header):
        file.truncate(0)  # it is written anew
        return None
    place = _place(last)
    file.truncate(end)
    return place


async def _write(client: Client, pattern: str, scope: Scope, after: Place | None, out: BinaryIO) -> int:
    """Returns how many versions were written."""
    versions = 0
    with progress_bar("exporting", "versions", hidden=out.isatty()) as on_progress:
        async for line in client.export(pattern, after=after, **scope):
            out.write(msgspec.json.encode(line) + b"\n")
            versions += "document" in line
            if versions % _TOLD_LINES == 0:
                on_progress(versions, 0)
    out.flush()
    return versions


def _open(path: Path, *, resume: bool) -> BinaryIO:
    try:
        return open(path, "a+b" if resume else "x+b")
    except FileExistsError:
        raise UsageError(f"{path} is there already; --resume goes on with it") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def _source(file: str) -> AbstractContextManager[BinaryIO]:
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return open(file, "rb")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None


def _told(file: BinaryIO, on_progress: OnProgress) -> Iterator[bytes]:
    """The lines, and by the way how many of the bytes they are."""
    try:
        total = os.fstat(file.fileno()).st_size
    except OSError:  # not a file, as in tests
        total = 0
    done = 0
    for number, line in enumerate(file):
        done += len(line)
        if number % _TOLD_LINES == 0:
            on_progress(done, total)
        yield line


def _check_header(line: bytes, pattern: str, scope: Scope) -> None:
    header = _decoded(line)
    if header.get("palimpsest") != "history":
        raise UsageError("the file is no export, as its first line shows")
    wanted = {"documents": pattern, **scope}
    if any(header.get(name) != wanted.get(name) for name in _EXPORTED):
        raise UsageError(f"the file is an export of {_described(header)}, and not of {_described(wanted)}")


def _described(header: Mapping[str, Any]) -> str:
    """What is exported, as a command would say it."""
    options = [f"--{name} {header[name]}" for name in _SCOPE if header.get(name) is not None]
    return " ".join([str(header.get("documents")), *options])


def _begins_header(torn: bytes) -> bool:
    return _HEADER.startswith(torn) or torn.startswith(_HEADER)


def _place(line: bytes) -> Place:
    found = _decoded(line)
    try:
        document, branch, version = msgspec.convert([found.get(key) for key in _PLACE], Place)
    except msgspec.ValidationError:
        raise UsageError("the file's last line is no version of an export") from None
    return document, branch, version


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise UsageError("the file is no export: it has a line that is not a JSON object") from None


def _last_line(file: BinaryIO) -> tuple[bytes, int]:
    """The last line that is whole, and where it ends. There is one."""
    size = file.seek(0, os.SEEK_END)
    length = min(size, _TAIL_BYTES)
    while True:
        file.seek(size - length)
        tail = file.read(length)
        end = tail.rfind(b"\n") + 1
        start = tail.rfind(b"\n", 0, end - 1) + 1 if end else 0
        if length == size or (end and start):
            return tail[start:end], size - length + end
        length = min(size, length * 4)
