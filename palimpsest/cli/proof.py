"""`digest` and `verify`: proof that what was acknowledged is what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from palimpsest.cli.exits import Exit
from palimpsest.cli.options import AsJson, AsOf, Branch, Name
from palimpsest.cli.output import counted, print_json, print_lines, remark
from palimpsest.cli.progress import progress_bar
from palimpsest.cli.session import ask_server
from palimpsest.errors import UsageError
from palimpsest.running import run
from palimpsest.server.proof import Fault, Kept, Verdict, verify_store
from palimpsest.words import MAIN

_DIGEST_BYTES = 32


class DigestLine(msgspec.Struct, frozen=True):
    """A line that `digest` printed."""

    document: str
    branch: str
    version: int
    digest: str


def digest(
    context: typer.Context, name: Name, version: AsOf = None, branch: Branch = MAIN, as_json: AsJson = False
) -> None:
    """Print the digest of a version, always as one line of JSON, to be kept elsewhere.

    It proves that version and all before it.
    """
    found = ask_server(context, lambda client: client.digest(name, branch=branch, version=version))
    print_json(DigestLine(found.document, found.branch, found.version, found.hex))
    if not as_json:
        remark("keep this line elsewhere: verify --against checks a store against it")


def verify(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="STORE", exists=True, dir_okay=False, help="The store's file; it may be served meanwhile."
        ),
    ],
    against: Annotated[
        typer.FileText | None, typer.Option(metavar="FILE", help="Lines of `digest` that were kept; - reads stdin.")
    ] = None,
    no_values: Annotated[
        bool, typer.Option("--no-values", help="Leave out replaying every delta to check the snapshots; faster.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Walk a whole store and check every event, every chain of digests, and every snapshot.

    Names the first event that is broken, of each document; the exit code is 1 then.
    """
    kept = [] if against is None else parse_kept(against.read())
    with progress_bar("verifying", "events") as on_progress:
        verdict = run(lambda: verify_store(path, against=kept, progress=on_progress, values=not no_values))
    if as_json:
        print_json(_verdict_json(verdict))
    else:
        print_lines(verdict_lines(verdict))
    if verdict.faults:
        raise typer.Exit(Exit.UNEXPECTED)


def parse_kept(text: str) -> list[Kept]:
    """Of each line that is not empty. Raises UsageError naming a line that is none."""
    kept = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = msgspec.json.decode(line, type=DigestLine)
            digest = bytes.fromhex(found.digest)
        except (msgspec.MsgspecError, ValueError) as error:
            raise UsageError(f"line {number} is none that `digest` prints: {error}") from None
        if len(digest) != _DIGEST_BYTES:
            raise UsageError(f"line {number} is none that `digest` prints: a digest has {_DIGEST_BYTES} bytes")
        kept.append((found.document, found.branch, found.version, digest))
    return kept


def verdict_lines(verdict: Verdict) -> list[Text]:
    """What was walked, then each fault, and what could not be checked."""
    counts = [
        counted(verdict.streams, "stream"),
        counted(verdict.events, "event"),
        counted(verdict.batches, "journal batch", "journal batches"),
    ]
    if verdict.checked_against:
        counts.append(f"{counted(verdict.checked_against, 'digest')} that had been kept")
    faults = counted(len(verdict.faults), "fault")
    found = (faults, "bold red") if verdict.faults else ("all as it should be", "green")
    remarks = [Text(f"    {remark}", style="dim") for remark in verdict.remarks]
    return [Text.assemble(", ".join(counts), ": ", found), *map(_fault_line, verdict.faults), *remarks]


def _fault_line(fault: Fault) -> Text:
    line = Text("    ")
    if fault.document is not None:
        line.append(fault.document, style="bold")
        line.append(f" on {fault.branch}")
    if fault.version is not None:
        line.append(f"  version {fault.version}")
    if fault.position is not None:
        line.append(f"  position {fault.position}", style="dim")
    return line.append(f"  {fault.what}" if line.plain.strip() else fault.what, style="red")


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "streams": verdict.streams,
        "events": verdict.events,
        "batches": verdict.batches,
        "checked_against": verdict.checked_against,
        "faults": [
            {
                "document": fault.document,
                "branch": fault.branch,
                "version": fault.version,
                "position": fault.position,
                "what": fault.what,
            }
            for fault in verdict.faults
        ],
        "remarks": list(verdict.remarks),
    }
