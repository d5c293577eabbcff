"""The gateway held against its own description: whatever is sent, the answer is one that the description names, and no bug of ours.

Half of what is sent fits the description and half does not; half is about documents and branches that are there. Event streams have no end, and
are not asked for here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from palimpsest import Server
from palimpsest.web import Gateway
from palimpsest.web.operations import EVENT_STREAM
from palimpsest.web.table import OPERATIONS

_EXAMPLES_MAX = 8
_EXAMPLES_SOAK_MAX = int(os.environ.get("SCHEMATHESIS_EXAMPLES_MAX", "400"))
_CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
_IDS = [operation.id for operation in OPERATIONS if operation.media_type != EVENT_STREAM]
_DOCUMENTS = ("notes/1", "notes/2")


class Described:
    """A gateway that is served, and what it says of itself."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url
        self.session = session
        schema = schemathesis.openapi.from_dict(session.get(f"{url}/openapi.json").json())
        found = [result.ok() for result in schema.get_all_operations()]
        self._operations = {operation.definition.raw["operationId"]: operation for operation in found}

    def cases(self, id: str) -> st.SearchStrategy[Any]:
        """Requests for the operation."""
        operation = self._operations[id]
        modes = [GenerationMode.POSITIVE]
        if operation.query or operation.body or operation.headers:
            modes.append(GenerationMode.NEGATIVE)
        known = [{}, *({"name": name} for name in _DOCUMENTS)] if "{name}" in operation.path else [{}]
        return st.one_of(
            [
                operation.as_strategy(generation_mode=mode, path_parameters=parameters or None)
                for mode in modes
                for parameters in known
            ]
        )

    def check(self, case: Any) -> None:
        case.call_and_validate(self.url, session=self.session, checks=_CHECKS, timeout=20)


@pytest.fixture(scope="module")
def described() -> Iterator[Described]:
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        server = Server.memory()
        stack.enter_context(portal.wrap_async_context_manager(server))
        gateway = Gateway(server.url)
        stack.enter_context(portal.wrap_async_context_manager(gateway))
        session = stack.enter_context(requests.Session())
        session.trust_env = False
        _fill(gateway.url, session)
        yield Described(gateway.url, session)


def _fill(url: str, session: requests.Session) -> None:
    """Two documents with a past, a branch and a merge that waits."""
    for name in _DOCUMENTS:
        for value in ({"title": "A", "tags": []}, {"title": "B", "tags": ["x"]}):
            session.put(f"{url}/documents/{name}", json=value).raise_for_status()
    session.post(f"{url}/branches/notes/1", json={"branch": "draft"}).raise_for_status()
    session.put(f"{url}/documents/notes/1?branch=draft", json={"title": "C"}).raise_for_status()
    session.put(f"{url}/documents/notes/1", json={"title": "D"}).raise_for_status()
    session.post(f"{url}/merges", json={"document": "notes/1", "source": "draft"}).raise_for_status()


def _run(described: Described, id: str, examples_max: int) -> None:
    @settings(
        max_examples=examples_max,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described.cases(id))
    def check(case: Any) -> None:
        described.check(case)

    check()


@pytest.mark.parametrize("id", _IDS)
def test_that_every_answer_is_described(described: Described, id: str) -> None:
    _run(described, id, _EXAMPLES_MAX)


@pytest.mark.soak
@pytest.mark.parametrize("id", _IDS)
def test_that_every_answer_is_described_for_long(described: Described, id: str) -> None:
    _run(described, id, _EXAMPLES_SOAK_MAX)
