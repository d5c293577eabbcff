"""What is kept of documents' histories, and what that takes: pruning by policies, and measuring.

What goes is decided here, document by document, from the archive; a decision is an event of the document's record, so that it has its
place among the tags that versions are given. The archiver does what it says when it gets there.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import anyio

from palimpsest.actors.commands import Cut
from palimpsest.actors.registry import Registry
from palimpsest.actors.stream import Stream
from palimpsest.errors import InvalidRequest, InvalidValue, PalimpsestError
from palimpsest.limits import Limits
from palimpsest.logs import get_logger
from palimpsest.protocol.messages import Measure, Measured, Progress, Prune, Pruned, Retain, Share
from palimpsest.state.lines import needed
from palimpsest.state.names import Pattern
from palimpsest.state.record import labels
from palimpsest.state.retention import (
    Retention,
    effective_tags,
    keep_from,
    kept_tags,
    parse_retention,
    questions,
    tag_matches,
)
from palimpsest.storage.contracts import Archive, Head
from palimpsest.words import ERASED, MAIN, RECORD, Kind

log = get_logger("palimpsest.actors")

_RETENTION = "$system/retention/"
_TOGETHER = 64
_PAGE = 256
_LARGEST_MAX = 1_000
_PRUNED_SHOWN = 20
_DELETE, _ERASE = int(Kind.DELETE), int(Kind.ERASE)

_WORTH_EVENTS, _WORTH_BYTES = 64, 64 * 1024
"""In the background a document is pruned once that much of it can go: each time costs an event of its record."""


class Keeper:
    """now: microseconds since the epoch. archived: returns once all that is durable when it is called is archived."""

    def __init__(
        self,
        archive: Archive,
        registry: Registry,
        limits: Limits,
        now: Callable[[], int],
        archived: Callable[[], Awaitable[None]],
    ) -> None:
        self._archive = archive
        self._registry = registry
        self._limits = limits
        self._now = now
        self._archived = archived

    async def prune(self, message: Prune, tell: Callable[[Progress], None], *, worth: bool = False) -> Pruned:
        """tell: called now and then on the way. worth: documents of which little can go are left as they are. On return
        nothing of what is pruned can be read any more; the space that it took comes back in the time after.

        Raises InvalidName, InvalidRequest."""
        pattern = Pattern.parse(message.pattern)
        given = None if message.retain is None else _policy(message, message.retain)
        await self._archived()
        policies = [given] if given is not None else await self.policies()
        shares: list[Share] = []
        looked_at = 0
        async for heads in self._pages(message.branch, pattern):
            cuts: list[Cut] = []
            for head in heads:
                looked_at += 1
                found = await self._cut(head, [policy for policy in policies if _applies(policy, head)])
                if found is not None and (not worth or _is_worth_it(found[1])):
                    cuts.append(found[0])
                    shares.append(found[1])
            if cuts and not message.dry_run:
                await self._decide(cuts)
            tell(Progress(message.id, looked_at, 0))
        if shares and not message.dry_run:
            await self._archived()
        return Pruned(
            message.id,
            len(shares),
            sum(share.events for share in shares),
            sum(share.bytes for share in shares),
            _largest(shares, _PRUNED_SHOWN),
            message.dry_run,
        )

    async def measure(self, message: Measure, tell: Callable[[Progress], None]) -> Measured:
        """Raises InvalidName."""
        pattern = Pattern.parse(message.pattern)
        await self._archived()
        shares: list[Share] = []
        documents = deleted = versions = events = snapshots = size = looked_at = 0
        after = ""
        while usages := await self._archive.usage(message.branch, prefix=pattern.prefix, after=after, limit=_PAGE):
            after = usages[-1].document
            looked_at += len(usages)
            for usage in usages:
                if not pattern.matches(usage.document):
                    continue
                gone = usage.kind == _DELETE or (
                    usage.kind == _ERASE and not await self._exists(usage.document, usage.branch)
                )
                deleted += gone
                documents += not gone
                versions += usage.version
                events += usage.events
                snapshots += usage.snapshots
                size += usage.bytes
                shares.append(Share(usage.document, usage.events, usage.bytes))
            if len(shares) > 2 * _LARGEST_MAX:
                shares = list(_largest(shares, _LARGEST_MAX))
            tell(Progress(message.id, looked_at, 0))
        largest = _largest(shares, max(0, min(message.largest, _LARGEST_MAX)))
        return Measured(message.id, documents, deleted, versions, events, snapshots, size, largest)

    async def policies(self) -> list[Retention]:
        """Those that are archived. One that does not make sense (by hand, before it was checked) is passed over, and logged."""
        found: list[Retention] = []
        async for heads in self._pages(MAIN, Pattern.parse(_RETENTION + "*")):
            for head in heads:
                stream = await self._load(head.document, MAIN)
                if stream is None or not stream.exists:
                    continue
                try:
                    found.append(parse_retention(stream.value()))
                except InvalidValue as error:
                    log.warning("policy_ignored", document=head.document, reason=error.message)
        return found

    # --- inside --------------------------------------------------------------------------------------------------

    async def _pages(self, branch: str, pattern: Pattern) -> AsyncIterator[Sequence[Head]]:
        """Heads of all streams that match."""
        if pattern.exact is not None:
            (head,) = await self._archive.heads([(pattern.exact, branch)])
            if head is not None:
                yield [head]
            return
        after = ""
        while heads := await self._archive.names(branch, prefix=pattern.prefix, after=after, limit=_PAGE):
            after = heads[-1].document
            yield [head for head in heads if pattern.matches(head.document)]

    async def _cut(self, head: Head, policies: Sequence[Retention]) -> tuple[Cut, Share] | None:
        """What the policies let go of a document, and what that gives back; None: nothing."""
        if not policies or head.version < 2:
            return None
        seconds, sizes = questions(policies)
        younger = {age: await self._younger(head, age) for age in seconds}
        reach = {size: await self._archive.reach(head.document, head.branch, bytes_max=size) for size in sizes}
        until = min(keep_from(policies, newest=head.version, younger=younger, reach=reach), head.version) - 1
        if until < 1:
            return None
        events, size = await self._archive.weigh(head.document, head.branch, first=1, last=until)
        if not events:
            return None
        patterns = kept_tags(policies)
        for version in await self._kept(head, until, patterns):
            some, some_bytes = await self._archive.weigh(head.document, head.branch, first=version, last=version)
            events, size = events - some, size - some_bytes
        if events <= 0:
            return None
        cut = Cut(0, head.document, RECORD, of=head.branch, until=until, tags=patterns)
        return cut, Share(head.document, events, max(0, size))

    async def _younger(self, head: Head, seconds: float) -> int:
        """The oldest version that is younger than that."""
        row = await self._archive.find_time(head.document, head.branch, self._now() - round(seconds * 1_000_000))
        return 1 if row is None else row.event.version + 1

    async def _kept(self, head: Head, until: int, patterns: Sequence[str]) -> list[int]:
        """Versions up to `until` that a tag keeps, a branch, or a merge."""
        record = await self._load(head.document, RECORD)
        value = record.value() if record is not None and record.exists else None
        said = {} if value is None else labels(value, head.branch)
        needed_for_others = needed(value, head.branch)
        made_with = dict(await self._archive.tagged(head.document, head.branch, last=until))
        versions = {version for version in (*said, *needed_for_others) if version <= until} | made_with.keys()
        return [
            version
            for version in sorted(versions)
            if ERASED in made_with.get(version, ())
            or version in needed_for_others
            or tag_matches(patterns, effective_tags(made_with.get(version, ()), said.get(version, {})))
        ]

    async def _load(self, document: str, branch: str) -> Stream | None:
        (stretch,) = await self._archive.load([(document, branch)])
        if stretch is None:
            return None
        stream = Stream(document, branch, self._limits)
        stream.load(stretch)
        return stream

    async def _exists(self, document: str, branch: str) -> bool:
        stream = await self._load(document, branch)
        return stream is not None and stream.exists

    async def _decide(self, cuts: Sequence[Cut]) -> None:
        """Makes the events. Raises what stood in the way of the first that failed."""
        for start in range(0, len(cuts), _TOGETHER):
            together = _Together(len(some := cuts[start : start + _TOGETHER]))
            for cut in some:
                self._registry.route(cut, together, self._now())
            await together.answered.wait()
            if together.error is not None:
                raise together.error


class _Together:
    """Asks for several writes, and waits for all."""

    client = ""

    def __init__(self, count: int) -> None:
        self._missing = count
        self.error: PalimpsestError | None = None
        self.answered = anyio.Event()

    def committed(self, id: int, version: int, at: int) -> None:
        self._one_less()

    def reply(self, message: object) -> None:
        self._one_less()

    def fail(self, id: int, error: PalimpsestError) -> None:
        self.error = self.error or error
        self._one_less()

    def _one_less(self) -> None:
        self._missing -= 1
        if not self._missing:
            self.answered.set()


def _policy(message: Prune, retain: Retain) -> Retention:
    """Raises InvalidRequest where the request does not make sense."""
    given: dict[str, Any] = {
        "documents": message.pattern,
        "branch": message.branch,
        "versions": retain.versions,
        "seconds": retain.seconds,
        "bytes_max": retain.bytes_max,
        "tags": list(retain.tags),
    }
    try:
        return parse_retention({name: value for name, value in given.items() if value is not None})
    except InvalidValue as error:
        raise InvalidRequest(f"what is to be kept: {error.message}", reason=error.path or error.message) from error


def _applies(policy: Retention, head: Head) -> bool:
    return policy.branch == head.branch and Pattern.parse(policy.documents).matches(head.document)


def _is_worth_it(share: Share) -> bool:
    return share.events >= _WORTH_EVENTS or share.bytes >= _WORTH_BYTES


def _largest(shares: Sequence[Share], count: int) -> tuple[Share, ...]:
    return tuple(heapq.nlargest(count, shares, key=lambda share: (share.bytes, share.events)))
