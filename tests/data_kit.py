"""What pages show as data: how it is read, and what the server makes of what it knows."""

from __future__ import annotations

import configparser
import json
import tomllib
from collections.abc import Callable
from typing import Any

import msgspec
import yaml

from palimpsest.protocol.framing import HEADER_BYTES
from palimpsest.state import Delta
from palimpsest.state.definitions import parse_perspective
from palimpsest.state.retention import parse_retention
from palimpsest.state.roles import parse_role
from palimpsest.state.schemas import parse_schema
from palimpsest.state.sources import parse_source


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def _ini(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)  # a unit may say a key twice
    parser.read_string(text)
    return parser


def _frame(text: str) -> Any:
    """One frame of the protocol. `tests/protocol` says what is in those of its page."""
    data = bytes.fromhex(text)
    assert int.from_bytes(data[:HEADER_BYTES], "big") == len(data) - HEADER_BYTES
    return msgspec.msgpack.decode(data[HEADER_BYTES:])


READERS: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "jsonl": _lines,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "ini": _ini,
    "hex": _frame,
}

KINDS: dict[str, Callable[[Any], object]] = {
    "perspective": lambda value: parse_perspective("shown", value),
    "role": parse_role,
    "retention": parse_retention,
    "schema": lambda value: parse_schema("shown", {"documents": "**", "schema": value}),
    "source": parse_source,
    "json patch": Delta.from_json_patch,
    "merge patch": Delta.from_merge_patch,
}
