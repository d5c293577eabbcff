"""The work that is measured, said once for every peer: the documents, the update, and the script that does it in Redis.

A document has 20 fields, 19 texts of 40 characters and a counter: about 1 KB encoded. An update sets one of the texts and
increments the counter, in one delta. The generator in C encodes the same names and fields by itself.
"""

from __future__ import annotations

from typing import Any

DOCUMENTS = 1_024
TEXT_FIELDS = 19
COUNTER = "count"

REDIS_SCRIPT = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local count = redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('XADD', KEYS[2], '*', ARGV[1], ARGV[2], 'count', count)
redis.call('PUBLISH', KEYS[1], ARGV[1] .. '=' .. ARGV[2] .. ' count=' .. count)
return count
"""
"""The same in Redis: the value as a hash, the change in a stream of the document, and a message to who follows it.

KEYS: the document and its stream; ARGV: the field and its text. A Redis user who leaves any of it out has less: without
the stream no history, without the message no subscribers."""


def document_name(number: int) -> str:
    """number: below 1,000,000."""
    return f"bench/{number:06d}"


def log_name(document: str) -> str:
    """The stream that records the document's changes in Redis."""
    return f"{document}:log"


def field_name(number: int) -> str:
    return f"field{number % TEXT_FIELDS:02d}"


def field_text(number: int) -> str:
    """40 characters, another for each number below 2^32."""
    return f"text set by a generator, number {number:08x}"


def document_value(number: int) -> dict[str, Any]:
    """The whole value of a new document."""
    value: dict[str, Any] = {
        field_name(field): field_text(number * TEXT_FIELDS + field) for field in range(TEXT_FIELDS)
    }
    value[COUNTER] = 0
    return value
