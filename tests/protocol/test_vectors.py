"""The test vectors that other implementations read, read both ways; and the document beside them, held to the code."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from palimpsest.errors import PalimpsestError, ProtocolError
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.protocol.connection import ClientConnection, ServerConnection, State
from palimpsest.protocol.framing import encode_frames
from palimpsest.state import ops
from palimpsest.state.ops import decode_delta
from palimpsest.words import Kind

DOCS = Path(__file__).parents[2] / "docs"
VECTORS = json.loads((DOCS / "protocol-vectors.json").read_text(encoding="utf-8"))
PAGE = (DOCS / "protocol.md").read_text(encoding="utf-8")
MESSAGES = {
    "server": {kind.__name__: kind for kind in typing.get_args(m.Request)},
    "client": {kind.__name__: kind for kind in typing.get_args(m.Response)},
}


def named(section: str) -> Any:
    return [pytest.param(vector, id=vector["name"]) for vector in VECTORS[section]]


def receiver(to: str, state: str) -> Any:
    connection = ServerConnection() if to == "server" else ClientConnection()
    connection.state = State(state)
    return connection


def state_before(messages: list[Any]) -> str:
    """In which these messages make sense."""
    return {m.Hello: "new", m.Welcome: "greeted"}.get(type(messages[0]), "open")


def from_plain(value: Any, hint: Any) -> Any:
    """What the vector writes as JSON, as the struct's field."""
    if hint is Raw:
        return Raw(msgspec.msgpack.encode(value))
    if hint is bytes:
        return bytes.fromhex(value)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        inner = arguments if arguments[-1] is not Ellipsis else (arguments[0],) * len(value)
        return tuple(from_plain(item, each) for item, each in zip(value, inner, strict=True))
    if typing.get_origin(hint) is dict:
        return {name: from_plain(item, arguments[1]) for name, item in value.items()}
    if value is not None and type(None) in arguments:
        return from_plain(value, arguments[0])
    if len(arguments) > 1 and isinstance(value, dict) and "type" in value:  # one of several messages
        return from_plain(value, MESSAGES["server"][value["type"]])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct) and value is not None:
        hints = typing.get_type_hints(hint)
        return hint(**{name: from_plain(value[name], hints[name]) for name in hint.__struct_fields__})
    return value


def built(vector: dict[str, Any]) -> list[Any]:
    kinds = MESSAGES[vector["to"]]
    return [from_plain(message, kinds[message["type"]]) for message in vector["messages"]]


@pytest.mark.parametrize("vector", named("frames"))
def test_messages_encode_to_these_bytes(vector: dict[str, Any]) -> None:
    assert encode_frames(built(vector)).hex() == vector["hex"]


@pytest.mark.parametrize("vector", named("frames"))
def test_these_bytes_decode_to_the_messages(vector: dict[str, Any]) -> None:
    messages = built(vector)
    connection = receiver(vector["to"], state_before(messages))
    assert connection.receive_data(bytes.fromhex(vector["hex"])) == messages


@pytest.mark.parametrize("vector", named("accepted"))
def test_these_bytes_are_understood(vector: dict[str, Any]) -> None:
    assert receiver(vector["to"], vector["state"]).receive_data(bytes.fromhex(vector["hex"])) == built(vector)


@pytest.mark.parametrize("vector", named("refused"))
def test_these_bytes_are_refused(vector: dict[str, Any]) -> None:
    connection = receiver(vector["to"], vector["state"])
    with pytest.raises(ProtocolError) as caught:
        connection.receive_data(bytes.fromhex(vector["hex"]))
    assert caught.value.code == vector["code"]
    assert connection.take_salvaged() == []


def test_every_message_and_every_op_has_a_vector() -> None:
    used = {(vector["to"], message["type"]) for vector in VECTORS["frames"] for message in vector["messages"]}
    assert used == {(to, name) for to, kinds in MESSAGES.items() for name in kinds}
    (every_op,) = [vector for vector in VECTORS["frames"] if vector["name"] == "every op"]
    delta = decode_delta(built(every_op)[0].delta, limits=Limits())
    assert {type(op) for op in delta} == set(typing.get_args(ops.Op)) - {ops.Erase}
    assert any(vector["name"] == "change, an erasure" for vector in VECTORS["frames"])


# --- the page ----------------------------------------------------------------------------------------------------


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = PAGE.split(f"\n{heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    assert lines is not None
    return [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in lines[0].splitlines()[2:]]


def code(cell: str) -> str:
    return cell.strip("` ")


def test_the_page_knows_every_error_code_and_its_data() -> None:
    known = {}
    for name, error in PalimpsestError._by_code.items():
        if error.__module__ == PalimpsestError.__module__:
            fields: list[str] = []
            for parent in reversed(error.__mro__[:-3]):
                fields += [
                    field for field in vars(parent).get("__annotations__", ()) if field not in ("code", "_by_code")
                ]
            known[name] = fields
    told = {
        code(row[0]): [code(field) for field in row[2].split(",") if field.strip("` ")] for row in rows("## Errors")
    }
    assert told == {name: fields for name, fields in known.items() if name not in FAMILIES}


FAMILIES = {"access", "usage", "cursor", "overload", "protocol", "link", "storage"}
"""Errors that only group others, and never travel."""


@pytest.mark.parametrize(
    ("heading", "to"), [("## From client to server", "server"), ("## From server to client", "client")]
)
def test_the_page_knows_every_message_and_its_fields(heading: str, to: str) -> None:
    told = {(int(row[0]), code(row[1])): row[2].replace("`", "").split() for row in rows(heading)}
    known = {
        (kind.__struct_config__.tag, kind.__name__): [
            name if name in kind.__struct_fields__[: required(kind)] else f"[{name}]" for name in kind.__struct_fields__
        ]
        for kind in MESSAGES[to].values()
    }
    assert told == known


def required(kind: Any) -> int:
    return len(kind.__struct_fields__) - len(kind.__struct_defaults__)


def test_the_page_knows_every_op() -> None:
    told = {int(row[0]): row[2].replace("`", "").split() for row in rows("## Deltas")}
    known = {
        op.__struct_config__.tag: [
            name if name in op.__struct_fields__[: required(op)] else f"[{name}]" for name in op.__struct_fields__
        ]
        for op in typing.get_args(ops.Op)
    }
    assert told == known


def test_the_page_knows_every_kind() -> None:
    assert {code(row[1]): int(row[0]) for row in rows("### Kinds")} == {kind.name.lower(): kind for kind in Kind}


def test_every_frame_on_the_page_is_a_vector() -> None:
    frames = {vector["hex"] for vector in VECTORS["frames"]}
    shown = [block.replace(" ", "").replace("\n", "") for block in re.findall(r"```hex\n(.*?)```", PAGE, re.DOTALL)]
    assert shown
    assert set(shown) <= frames
