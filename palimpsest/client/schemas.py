"""Schemas: documents of the server's, which say what the values of others have to look like."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from palimpsest.client.asking import OnProgress
from palimpsest.client.named import Named
from palimpsest.client.paged import Paged, pages_of
from palimpsest.client.results import Version
from palimpsest.errors import InvalidRequest, SchemaViolation
from palimpsest.state.schemas import SCHEMAS, Schema, parse_schema
from palimpsest.words import MAIN

if TYPE_CHECKING:
    from palimpsest.client.client import Client

_UNNAMED = "unnamed"
"""What a schema is called in errors that is only checked."""


class SchemaDocuments:
    """`client.schemas`. Each is the document `$system/schemas/<name>`, with a history like any other.

    A change that would give a document another value than its schemas allow is refused with SchemaViolation, on every branch. What
    is there already when a schema is put stays as it is until it is changed.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._named = Named(client, SCHEMAS, "schema")

    async def put(
        self,
        name: str,
        *,
        documents: str,
        schema: Mapping[str, Any] | type,
        check: bool = True,
        by: str | None = None,
        description: str | None = None,
    ) -> Version:
        """From now on, documents that match keep to the schema of that name. schema: a JSON Schema, or a type that msgspec knows, such
        as a `msgspec.Struct`. check: not where a document that is there on the main branch breaks it.

        Raises InvalidValue where the schema makes no sense, with the path; SchemaViolation for the first document that breaks it; or
        InvalidName.
        """
        self._named.document(name)
        made = make_schema(name, documents, schema)
        if check:
            async with aclosing(self._violations(made, MAIN, None)) as violations:
                async for violation in violations:
                    raise violation
        value = {"documents": made.documents, "schema": made.schema}
        return await self._named.put(name, value, by=by, description=description)

    async def get(self, name: str) -> Schema:
        """Raises DocumentNotFound where there is none of that name."""
        return parse_schema(name, await self._named.value(name))

    async def delete(self, name: str, *, by: str | None = None, description: str | None = None) -> Version:
        """Documents do not have to keep to it any more. Raises DocumentNotFound."""
        return await self._named.delete(name, by=by, description=description)

    async def check(
        self,
        name: str | None = None,
        *,
        documents: str | None = None,
        schema: Mapping[str, Any] | type | None = None,
        branch: str = MAIN,
        on_progress: OnProgress | None = None,
    ) -> list[SchemaViolation]:
        """Which documents break a schema, and where: the schema of that name as it is kept, or one that is not kept yet, by documents
        and schema as of `put`. Empty where none does. on_progress: told how many were looked at; of how many is not known.

        The documents are read and looked at here, the server only hands them out. Raises what `get` and `put` raise.
        """
        if (name is None) == (documents is None or schema is None):
            raise InvalidRequest(
                "a schema that is kept, by its name; or one that is not, by documents= and schema=", reason="schema"
            )
        if name is not None:
            made = await self.get(name)
        else:
            made = make_schema(_UNNAMED, documents, schema)
        return [violation async for violation in self._violations(made, branch, on_progress)]

    def list(self) -> AsyncIterator[Schema]:
        """All of them, by name."""
        return Paged(self._named.pages(parse_schema))

    async def _violations(
        self, schema: Schema, branch: str, on_progress: OnProgress | None
    ) -> AsyncGenerator[SchemaViolation, None]:
        done = 0
        async for page in pages_of(self._client.list(schema.documents, branch=branch, values=True)):
            for document in page:
                violation = schema.violation(document.id, document.value)
                if violation is not None:
                    yield violation
            done += len(page)
            if on_progress is not None:
                on_progress(done, 0)


def make_schema(name: str, documents: Any, schema: Any) -> Schema:
    """schema: a JSON Schema, or a type. Raises InvalidValue, and InvalidRequest for a type of which msgspec makes none."""
    if not isinstance(schema, Mapping):
        try:
            schema = msgspec.json.schema(schema)
        except TypeError as error:
            raise InvalidRequest(f"{schema!r} is no JSON Schema and gives none: {error}", reason="schema") from error
    return parse_schema(name, {"documents": documents, "schema": dict(schema)})
