from __future__ import annotations

import json
import re
from typing import Any

import pytest
from gateway_kit import guarded, served

from palimpsest import Role
from palimpsest.web.openapi import describe_all
from palimpsest.web.problems import PROBLEM
from palimpsest.web.table import OPERATIONS

DESCRIPTION = describe_all(OPERATIONS)


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if "$ref" in part else set()
        return own.union(*(references(inner) for inner in part.values()))
    return set().union(*(references(inner) for inner in part)) if isinstance(part, list) else set()


def described(id: str) -> dict[str, Any]:
    found = [each for path in DESCRIPTION["paths"].values() for each in path.values() if each["operationId"] == id]
    assert len(found) == 1
    return dict(found[0])


def test_that_every_operation_is_described_once() -> None:
    for operation in OPERATIONS:
        path = re.sub(r":path\}", "}", operation.path)
        found = DESCRIPTION["paths"][path][operation.method.lower()]
        assert found["operationId"] == operation.id
        assert {str(status) for status in operation.answers} <= set(found["responses"])
        assert set(found.get("requestBody", {}).get("content", {})) == set(operation.bodies)
    assert sum(len(path) for path in DESCRIPTION["paths"].values()) == len(OPERATIONS)
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


def test_that_every_reference_leads_somewhere_and_no_schema_is_without_one() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    assert references(DESCRIPTION) == {f"#/components/schemas/{name}" for name in schemas}
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", name) for name in schemas), "two types have the same name"


def test_that_parameters_are_as_they_stand_in_a_request() -> None:
    diff = {each["name"]: each for each in described("diff")["parameters"]}
    assert diff["name"] == {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }
    assert (diff["from"]["required"], diff["to"]["required"]) == (True, False)
    assert diff["to"]["schema"] == {"type": "string"}
    history = {each["name"]: each["schema"] for each in described("listVersions")["parameters"]}
    assert history["since"] == {"type": "string", "format": "date-time"}
    assert (history["tag"]["type"], history["limit"]["minimum"]) == ("array", 1)
    headers = {each["name"] for each in described("putDocument")["parameters"] if each["in"] == "header"}
    assert headers == {"If-Match", "If-None-Match", "Idempotency-Key"}


def test_that_problems_are_described_where_they_can_come() -> None:
    found = described("patchDocument")["responses"]
    assert {"200", "400", "401", "403", "404", "409", "412", "413", "415", "422", "503"} <= set(found)
    assert list(found["412"]["content"]) == [PROBLEM]
    assert "412" not in described("getDocument")["responses"]
    assert set(described("live")["responses"]) == {"200", "400"}


def test_that_who_asks_needs_a_token_or_none() -> None:
    assert described("getDocument")["security"] == [{"bearer": []}, {}]
    assert "security" not in described("live")


def test_that_the_words_are_those_of_the_code() -> None:
    assert described("blame")["description"].startswith("Who set what")
    assert DESCRIPTION["components"]["schemas"]["Version"]["description"].startswith("One version of a document")


@pytest.mark.anyio
async def test_that_it_is_served_the_same_each_time_to_anybody() -> None:
    async with served() as (_, _, http), guarded(Role(grants=[])) as found:
        first, second = (
            await http.get("/openapi.json"),
            await found.http.get("/openapi.json", headers={"Authorization": ""}),
        )
        assert first.content == second.content
        served_paths = json.loads(first.content)["paths"]
        assert served_paths.pop("/openapi.json")["get"]["operationId"] == "describe"
        assert served_paths == json.loads(json.dumps(DESCRIPTION["paths"]))
