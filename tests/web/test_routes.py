from __future__ import annotations

import pytest

from palimpsest.web.operations import Answer, Call, Operation
from palimpsest.web.routes import Found, Routes, WrongMethod


async def handle(call: Call) -> Answer:
    return Answer()


def operation(method: str, path: str) -> Operation:
    return Operation(
        method=method, path=path, id=f"{method} {path}", summary="", group="", handler=handle, answers={200: None}
    )


ROUTES = Routes(
    [
        operation("GET", "/documents"),
        operation("GET", "/documents/{name:path}"),
        operation("PUT", "/documents/{name:path}"),
        operation("POST", "/roles/view"),
        operation("GET", "/roles/{name}"),
        operation("GET", "/roles/{name}/view"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "id", "parameters"),
    [
        ("GET", "/documents", "GET /documents", {}),
        ("HEAD", "/documents", "GET /documents", {}),
        ("GET", "/documents/a/b c", "GET /documents/{name:path}", {"name": "a/b c"}),
        ("PUT", "/documents/a/", "PUT /documents/{name:path}", {"name": "a/"}),
        ("GET", "/documents/", "GET /documents/{name:path}", {"name": ""}),
        ("GET", "/roles/a/view", "GET /roles/{name}/view", {"name": "a"}),
        ("GET", "/roles/view", "GET /roles/{name}", {"name": "view"}),
        ("POST", "/roles/view", "POST /roles/view", {}),
    ],
)
def test_that_an_operation_is_found(method: str, path: str, id: str, parameters: dict[str, str]) -> None:
    found = ROUTES.find(method, path)
    assert isinstance(found, Found)
    assert (found.operation.id, found.path) == (id, parameters)


@pytest.mark.parametrize(
    "path", ["", "/", "*", "/document", "/documents\n", "/documents/a\nb", "/roles/a/b", "/Roles/a"]
)
def test_that_nothing_is_found_elsewhere(path: str) -> None:
    assert ROUTES.find("GET", path) is None


def test_that_a_method_that_is_not_there_is_told_which_are() -> None:
    assert ROUTES.find("POST", "/documents") == WrongMethod(("GET", "HEAD"))
    assert ROUTES.find("DELETE", "/documents/a") == WrongMethod(("GET", "HEAD", "PUT"))
    assert ROUTES.find("PUT", "/roles/view") == WrongMethod(("POST",))
