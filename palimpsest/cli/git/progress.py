"""Where an import stands: the document `prefix$import`, and the history that it speaks of."""

from __future__ import annotations

import msgspec

from palimpsest.cli.git.lines import History, Link
from palimpsest.cli.git.names import progress_name
from palimpsest.cli.git.repository import Repository
from palimpsest.cli.git.texts import TextLimits
from palimpsest.client import Client
from palimpsest.words import MAIN


class Progress(msgspec.Struct, omit_defaults=True):
    """What the document says.

    commit: the last one that is there whole, None before the first. done: how many parts of the commit after it are there.
    commits, versions: how many were made so far. limits: what decided which files are documents. branch: of the first parents.

    tips: what was imported up to, one after the other, the last one perhaps not whole; None where only first parents are followed.
    names: of lines that are called like a branch of the repository, by the oldest commit of each.
    """

    repository: str
    ref: str
    commit: str | None
    done: int
    commits: int
    versions: int
    limits: TextLimits
    branch: str = MAIN
    tips: list[str] | None = None
    names: dict[str, str] = {}


async def read_progress(client: Client, prefix: str) -> tuple[Progress, int]:
    """What it says, and its version. Raises DocumentNotFound."""
    document = await client.get(progress_name(prefix))
    return msgspec.convert(document.value, Progress), document.version


def past(repository: Repository, progress: Progress) -> History:
    """All that was ever to be imported, in the order of the tips; along first parents, what is there. Raises GitFailed where the
    repository does not hold it."""
    history = History(progress.branch, progress.names)
    if progress.tips is None:
        links = [] if progress.commit is None else _first_parents(repository, progress.commit)
        history.extend(links)
    for tip in progress.tips or []:
        history.extend(repository.links(tip, after=history.tip))
        history.name_lines({})
    return history


def _first_parents(repository: Repository, tip: str) -> list[Link]:
    """As if no commit had another parent."""
    shas, times = repository.first_parents(tip), repository.times(tip)
    parents: list[tuple[str, ...]] = [(), *((sha,) for sha in shas)]
    return [Link(sha, before, times[sha]) for sha, before in zip(shas, parents, strict=False)]
