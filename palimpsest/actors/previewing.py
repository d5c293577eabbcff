"""What a write would do, without its being done: decided on a copy of what is durable, as the write itself would be.

Nobody waits for it and nothing is kept: by the time that it is read, somebody else may have written. Who wants to do just that says
which version to `expect`.
"""

from __future__ import annotations

from palimpsest.actors.commands import DECIDE, Become, TakeBack
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.reading import Reader
from palimpsest.actors.registry import Registry
from palimpsest.protocol.messages import Differences, Place


class Previewing:
    def __init__(self, reader: Reader, registry: Registry) -> None:
        self._reader = reader
        self._registry = registry

    async def preview(self, actor: DocumentActor, write: Become | TakeBack, now: int) -> Differences:
        """From the newest durable version of the actor's branch to the one that write would make. Raises what write would."""
        newest = await self._reader.find(actor, Place(actor.branch))
        stream = await self._reader.stream_at(actor, newest)
        event = DECIDE[type(write)](stream, write, "", now)
        value = stream.value() if stream.exists else None
        if actor.document.startswith("$"):
            self._registry.check_system(actor.document, value, deleted=not stream.exists)
        elif stream.exists:
            self._registry.schemas.check(actor.document, value)
        return Differences(write.id, newest[1], event.version, event.delta)
