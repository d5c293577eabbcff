"""A pipeline: what arrives is parsed by workers that share the work, once each, with a record of who made what of it.

    python examples/ingestion_pipeline.py

Raw documents arrive under `inbox/`. Workers share a named subscription: the server keeps its place, hands each change to one of them, and again to
another one where it was not acknowledged. A worker that dies between writing and acknowledging does no harm, as the write carries an id made of
the change: the second time it is answered, and not applied. What fails too often is put aside, with the reason, until it is sent again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import palimpsest as pal

NAME = "parser"
TRIES_MAX = 2
RAW = {
    "inbox/a": '{"title": "Tides", "text": "the sea comes and goes"}',
    "inbox/b": '{"title": "Winds"',
    "inbox/c": '{"title": "Rain", "text": "it falls"}',
}

Parser = Callable[[str], dict[str, Any]]


def strict(body: str) -> dict[str, Any]:
    """Raises ValueError for what is no JSON."""
    parsed = json.loads(body)
    return {"title": parsed["title"], "words": len(parsed.get("text", "").split())}


def lenient(body: str) -> dict[str, Any]:
    """Closes what was cut off."""
    return strict(body if body.endswith("}") else body + "}")


async def process(client: pal.Client, change: pal.Change, parser: Parser, worker: str) -> pal.Version:
    """Writes what the parser makes of a raw document. Doing it again does nothing, and returns the version of the first time."""
    target = change.document.replace("inbox/", "articles/")
    parsed = parser(change.value["body"])
    made_of = f"{change.document}, version {change.version}"
    said: dict[str, Any] = {
        "by": worker,
        "description": f"made of {made_of}",
        "tags": {parser.__name__},
        "request_id": f"article of {made_of}",
    }
    try:
        return await client.create(target, parsed, **said)
    except pal.errors.DocumentExists:
        return await client.update(target, {"": parsed}, **said)


async def work(client: pal.Client, worker: str, parser: Parser, aside: asyncio.Queue[pal.Change]) -> None:
    """For ever. Any number of these may run, in one program or in many. aside: told of what failed for the last time."""
    async with client.subscribe("inbox/*", name=NAME, values=True, tries_max=TRIES_MAX) as changes:
        async for change in changes:
            try:
                await process(client, change, parser, worker)
            except ValueError as error:
                await changes.nack(change, reason=str(error))
                if change.tries == TRIES_MAX:
                    aside.put_nowait(change)
            else:
                await changes.ack(change)


async def ingest(client: pal.Client, parser: Parser, wanted: set[str], bad: int = 0) -> None:
    """Lets two workers work until the wanted articles are there, and so many bad documents are put aside."""
    aside: asyncio.Queue[pal.Change] = asyncio.Queue()
    async with asyncio.TaskGroup() as group, client.subscribe("articles/*", start="beginning") as articles:
        workers = [group.create_task(work(client, name, parser, aside)) for name in ("worker-1", "worker-2")]
        while wanted:
            wanted = wanted - {(await anext(articles)).document}
        for _ in range(bad):
            print("put aside:", (await aside.get()).document)
        for worker in workers:
            worker.cancel()


async def die_in_between(client: pal.Client) -> None:
    """A worker that has written, and is gone before it could say so."""
    async with client.subscribe("inbox/*", name=NAME, start="beginning", values=True, tries_max=TRIES_MAX) as changes:
        change = await anext(changes)
        version = await process(client, change, strict, "worker-0")
        print(version.by, "wrote", version.document, "and died")


async def main() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        for name, body in RAW.items():
            await client.create(name, {"body": body}, by="mail", tags={"raw"})

        await die_in_between(client)
        await ingest(client, strict, {"articles/a", "articles/c"}, bad=1)
        print("versions of a:", [(v.version, v.by) async for v in client.history("articles/a")])
        for letter in (await client.subscription_state(NAME)).dead_letters:
            print(f"{letter.document} failed {letter.tries} times: {letter.reason}")

        await client.redrive(NAME)  # now that the parser is better
        await ingest(client, lenient, {"articles/b"})
        async for name in client.list("articles/*"):
            article = await client.get(name)
            print(name, article.value, "-", article.description, "by", *article.tags)

        policy = pal.Retention(documents="inbox/*", versions=1, tags=())
        await client.retention.put("inbox", policy, by="ops", description="raw documents are for now only")
        await client.update("inbox/a", {"body": "{}"}, by="mail")
        would = await client.prune()
        print("the policies would let go of", would.events, "version of", would.documents, "document")


if __name__ == "__main__":
    pal.run(main)
