"""Errors as the web says them: problem details (RFC 9457), with the status that fits (RFC 9110)."""

from __future__ import annotations

from typing import Any

import msgspec

from palimpsest import errors as e
from palimpsest.web.operations import Answer

PROBLEM = "application/problem+json"

_STATUSES: tuple[tuple[type[e.PalimpsestError], int], ...] = (
    (e.DocumentNotFound, 404),
    (e.BranchNotFound, 404),
    (e.VersionPruned, 410),
    (e.VersionNotFound, 404),
    (e.MergeNotFound, 404),
    (e.SubscriptionNotFound, 404),
    (e.PerspectiveNotFound, 404),
    (e.Compacted, 410),
    (e.CursorError, 410),
    (e.LimitExceeded, 413),
    (e.DeltaFailed, 422),
    (e.InvalidDelta, 422),
    (e.SchemaViolation, 422),
    (e.InvalidValue, 422),
    (e.UsageError, 400),
    (e.Conflict, 409),
    (e.Unauthenticated, 401),
    (e.AccessError, 403),
    (e.Overload, 503),
    (e.RequestTimeout, 504),
    (e.LinkError, 503),
    (e.StorageError, 503),
)
"""The first that fits counts."""


_CONDITIONS = (e.VersionConflict, e.DocumentExists)
"""What comes of a condition that does not hold: 412 for who asked for it in a header, 409 for others."""


class Problem(msgspec.Struct, omit_defaults=True):
    """Problem details as of RFC 9457: `type` is `about:blank` where the status says all; else `urn:palimpsest:error:` and the error's code. What else
    the error says stands beside these, under its own names in `data`."""

    title: str
    status: int
    type: str = "about:blank"
    detail: str = ""
    code: str = ""
    data: dict[str, Any] = {}


class Refused(Exception):
    """A request that is answered with a problem of HTTP's own, and no error of the tree."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


def problem_of(error: e.PalimpsestError, *, is_conditional: bool = False) -> Answer:
    """is_conditional: the request was to be done under a condition only."""
    code, message, data = error.to_wire()
    status = 412 if is_conditional and isinstance(error, _CONDITIONS) else status_of(error)
    title = type(error).__name__
    problem = Problem(title, status, f"urn:palimpsest:error:{code}", message, code, _plain(data))
    return answer_of(problem)


def plain_problem(status: int, title: str, detail: str = "") -> Answer:
    return answer_of(Problem(title, status, detail=detail))


def answer_of(problem: Problem) -> Answer:
    headers = {"Cache-Control": "no-store"}
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="palimpsest"'
    if problem.status == 503:
        headers["Retry-After"] = "1"
    return Answer(problem, problem.status, headers, PROBLEM)


def status_of(error: e.PalimpsestError) -> int:
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """Without what JSON cannot say."""
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in data.items()}
