"""The description of the gateway (OpenAPI 3.1), made of the table of operations: what is described is what is done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version as release
from inspect import getdoc
from typing import Any

import msgspec

from palimpsest.web.operations import Answer, AnyOf, Call, Operation
from palimpsest.web.problems import PROBLEM, Problem

Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{([a-z_]+)(?::path)?\}")
_PROBLEMS = (400, 401, 403, 404, 410, 413, 421, 431, 500, 503, 504)
"""What any operation may be answered with, but for those that are open to anybody."""
_WRITE_PROBLEMS = (408, 409, 412, 415, 422)


def openapi_operation(operations: Sequence[Operation]) -> Operation:
    """The operation that shows the description of these, and of itself."""

    async def describe(call: Call) -> Answer:
        """This description."""
        return Answer(body)

    operation = Operation(
        method="GET",
        path="/openapi.json",
        id="describe",
        summary="The description of the gateway",
        group="probes",
        handler=describe,
        answers={200: dict[str, Any]},
        is_open=True,
    )
    body = msgspec.json.encode(describe_all([*operations, operation]), order="deterministic")
    return operation


def describe_all(operations: Sequence[Operation]) -> Schema:
    """The whole description, as data."""
    kinds = [kind for operation in operations for kind in _kinds_of(operation)]
    schemas, components = msgspec.json.schema_components([*kinds, Problem], ref_template=_REFERENCE)
    # Types need not be hashable: they are found again by their place.
    schema_of = _Schemas(kinds, schemas)
    paths: dict[str, Schema] = {}
    for operation in operations:
        path = _PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _describe(operation, schema_of, components)
    for query in {operation.query.__name__ for operation in operations}:
        del components[query]  # its fields are parameters
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Palimpsest",
            "version": release("palimpsest"),
            "description": "Documents with all their versions, over HTTP. Paths inside of values are text, such as"
            " `meta.tags.0`; times are RFC 3339. Names of documents may have slashes, which stand in the path as they are.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "tags": [{"name": name} for name in dict.fromkeys(operation.group for operation in operations)],
    }


class _Schemas:
    def __init__(self, kinds: Sequence[Any], schemas: Iterable[Schema]) -> None:
        self._found = {repr(kind): schema for kind, schema in zip(kinds, schemas, strict=False)}

    def __getitem__(self, kind: Any) -> Schema:
        if isinstance(kind, AnyOf):
            return {"anyOf": [self[part] for part in kind.kinds]}
        return self._found[repr(kind)]


def _kinds_of(operation: Operation) -> list[Any]:
    """The types of bodies, answers and queries."""
    answers = [kind for answer in operation.answers.values() if answer is not None for kind in _parts(answer)]
    return [operation.query, *operation.bodies.values(), *answers]


def _parts(answer: Any) -> tuple[Any, ...]:
    return answer.kinds if isinstance(answer, AnyOf) else (answer,)


def _describe(operation: Operation, schema_of: _Schemas, components: Mapping[str, Schema]) -> Schema:
    found: Schema = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.group],
        "responses": _responses(operation, schema_of),
    }
    description = getdoc(operation.handler)
    if description:
        found["description"] = description
    parameters = [*_path_parameters(operation), *_query_parameters(operation, components), *_headers(operation)]
    if parameters:
        found["parameters"] = parameters
    if operation.bodies:
        content = {media_type: {"schema": schema_of[kind]} for media_type, kind in operation.bodies.items()}
        found["requestBody"] = {"required": operation.body_required, "content": content}
    if not operation.is_open:
        found["security"] = [{"bearer": []}, {}]
    return found


# --- parameters ------------------------------------------------------------------------------------------------------


def _path_parameters(operation: Operation) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(operation.path)
    ]


def _query_parameters(operation: Operation, components: Mapping[str, Schema]) -> list[Schema]:
    query = components[operation.query.__name__]
    required = query.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(schema)}
        for name, schema in query["properties"].items()
    ]


def _without_null(schema: Schema) -> Schema:
    """What may be left out is not written as null in a query."""
    kept = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
    rest = {name: part for name, part in schema.items() if name != "anyOf" and not (name == "default" and part is None)}
    return rest | (kept[0] if len(kept) == 1 else {"anyOf": kept} if kept else {})


def _headers(operation: Operation) -> list[Schema]:
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in operation.request_headers.items()
    ]


# --- answers ---------------------------------------------------------------------------------------------------------


def _responses(operation: Operation, schema_of: _Schemas) -> Schema:
    found = {str(status): _response(operation, status, kind, schema_of) for status, kind in operation.answers.items()}
    for status in problems_of(operation):
        found.setdefault(str(status), _problem(status))
    return dict(sorted(found.items()))


def problems_of(operation: Operation) -> tuple[int, ...]:
    """The statuses that it may be answered with where it does not succeed, beside those that it names itself."""
    if operation.is_probe:
        return (400,)
    if operation.is_open:
        return 400, 421
    return _PROBLEMS if operation.method == "GET" else _PROBLEMS + _WRITE_PROBLEMS


def _response(operation: Operation, status: int, kind: Any, schema_of: _Schemas) -> Schema:
    if kind is Problem:
        return _problem(status)
    found: Schema = {"description": HTTPStatus(status).phrase}
    if kind is not None:
        found["content"] = {operation.media_type.partition(";")[0]: {"schema": schema_of[kind]}}
    if operation.answer_headers:
        found["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in operation.answer_headers.items()
        }
    return found


def _problem(status: int) -> Schema:
    schema = {"$ref": _REFERENCE.format(name=Problem.__name__)}
    return {"description": HTTPStatus(status).phrase, "content": {PROBLEM: {"schema": schema}}}


__all__ = ["describe_all", "openapi_operation", "problems_of"]
