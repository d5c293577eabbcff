"""Answers as ASGI messages."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from palimpsest.web.answering import Whole, whole
from palimpsest.web.operations import Answer

pytestmark = pytest.mark.anyio

LONG = {"text": "x" * 2_000}


async def sent(answer: Answer, **headers: str) -> tuple[int, dict[bytes, list[bytes]], bytes]:
    """headers: of the request, with underscores."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        raise AssertionError("an answer asks for nothing")

    said = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in said.items()]
    await whole(answer, said)({"type": "http", "method": "GET", "headers": raw}, receive, send)
    start, body = messages
    found: dict[bytes, list[bytes]] = {}
    for name, value in start["headers"]:
        found.setdefault(name, []).extend(value.split(b", ") if name == b"vary" else [value])
    return start["status"], found, body["body"]


async def test_data_becomes_json_with_its_keys_in_order() -> None:
    status, headers, body = await sent(Answer({"b": 1, "a": 2}, 201, {"ETag": '"7"'}))
    assert (status, body) == (201, b'{"a":2,"b":1}')
    assert headers == {
        b"x-content-type-options": [b"nosniff"],
        b"cache-control": [b"private, no-cache"],
        b"vary": [b"Authorization"],
        b"etag": [b'"7"'],
        b"content-length": [b"13"],
        b"content-type": [b"application/json"],
    }


async def test_an_answer_may_say_otherwise_how_long_it_is_kept() -> None:
    _, headers, body = await sent(Answer(b"ok\n", headers={"Cache-Control": "no-store"}, media_type="text/plain"))
    assert (headers[b"cache-control"], headers[b"content-type"], body) == ([b"no-store"], [b"text/plain"], b"ok\n")


async def test_what_has_no_body_says_no_length_of_one() -> None:
    status, headers, body = await sent(Answer(None, 304, {"ETag": '"7"'}))
    assert (status, body) == (304, b"")
    assert not {b"content-length", b"content-type"} & headers.keys()


async def test_what_is_long_is_compressed_for_who_takes_that() -> None:
    _, headers, body = await sent(Answer(LONG), accept_encoding="br, gzip")
    assert json.loads(gzip.decompress(body)) == LONG
    assert headers[b"content-encoding"] == [b"gzip"]
    assert headers[b"content-length"] == [b"%d" % len(body)]
    assert headers[b"vary"] == [b"Authorization", b"Accept-Encoding"]


@pytest.mark.parametrize(("content", "accepted"), [(LONG, ""), (LONG, "br"), ("short", "gzip")])
async def test_anything_else_is_sent_as_it_is(content: Any, accepted: str) -> None:
    _, headers, body = await sent(Answer(content), accept_encoding=accepted)
    assert json.loads(body) == content
    assert b"content-encoding" not in headers
    assert (b"Accept-Encoding" in headers[b"vary"]) == (content is LONG)


def test_what_json_cannot_say_is_not_sent() -> None:
    with pytest.raises(TypeError):
        Whole(Answer(object()))
