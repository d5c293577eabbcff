"""An event stream as its reader sees it: frames, read one by one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx


class Frame(NamedTuple):
    """event: "" for what is only a place to go on from, and for a comment. id: "" where there is none."""

    event: str
    data: Any
    id: str
    comment: str = ""


class Frames:
    """An async iterator of frames. cursor: as a browser would say it when it comes back."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.cursor = ""
        self._lines = response.aiter_lines()

    def __aiter__(self) -> Frames:
        return self

    async def __anext__(self) -> Frame:
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            elif fields:
                break
        if not fields:
            raise StopAsyncIteration
        self.cursor = fields.get("id", self.cursor)
        data = json.loads(fields["data"]) if "data" in fields else None
        return Frame(fields.get("event", ""), data, fields.get("id", ""), fields.get("", ""))

    async def next(self, event: str) -> Frame:
        """The next one of that event; what comes before it is passed over."""
        async for frame in self:
            if frame.event == event:
                return frame
        raise AssertionError(f"the stream ended, and there was no {event!r}")

    async def changes(self, count: int) -> list[Frame]:
        return [await self.next("change") for _ in range(count)]


@asynccontextmanager
async def events(http: httpx.AsyncClient, cursor: str = "", **query: Any) -> AsyncIterator[Frames]:
    """cursor: said in `Last-Event-ID`, unless it is ""."""
    headers = {"Last-Event-ID": cursor} if cursor else {}
    async with http.stream("GET", "/events", params=query, headers=headers) as response:
        if response.status_code != 200:
            await response.aread()
        yield Frames(response)
