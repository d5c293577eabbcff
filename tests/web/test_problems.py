from __future__ import annotations

import msgspec
import pytest

from palimpsest import errors as e
from palimpsest.web.problems import PROBLEM, Problem, plain_problem, problem_of, status_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (e.DocumentNotFound("no", document="n", branch="main", version=None), 404),
        (e.VersionPruned("no", document="n", branch="main", version=1, newest=2, oldest=2), 410),
        (e.VersionConflict("no", document="n", branch="main", expected=1, actual=2), 409),
        (e.DocumentExists("no", document="n", branch="main", version=1), 409),
        (e.InvalidValue("no", path="a", reason="r"), 422),
        (e.InvalidName("no", name="n", reason="r"), 400),
        (e.LimitExceeded("no", limit="frame_bytes_max", maximum=1, actual=2), 413),
        (e.TestFailed("no", op=0, path="a", reason="test"), 422),
        (e.Unauthenticated("no"), 401),
        (e.NotWritable("no", action="write", document="n", perspective="p", path="a"), 403),
        (e.Overloaded("no", limit="mailbox_items_max", maximum=1), 503),
        (e.RequestTimeout("no", seconds=1.0), 504),
        (e.CommitFailed("no", reason="r"), 503),
        (e.InternalError("no"), 500),
    ],
)
def test_which_status_an_error_has(error: e.PalimpsestError, status: int) -> None:
    answer = problem_of(error)
    assert (answer.status, status_of(error), answer.media_type) == (status, status, PROBLEM)
    assert answer.content == Problem(
        type(error).__name__, status, f"urn:palimpsest:error:{error.code}", "no", error.code, error.data
    )


def test_that_a_condition_that_does_not_hold_is_412_for_who_asked_for_it() -> None:
    late = e.VersionConflict("no", document="n", branch="main", expected=1, actual=2)
    assert problem_of(late, is_conditional=True).status == 412
    assert problem_of(e.Forbidden("no", action="read", document=""), is_conditional=True).status == 403


def test_that_every_error_can_be_said() -> None:
    kinds = [e.PalimpsestError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        answer = problem_of(kind("no", digest=b"\x01"))
        assert 400 <= answer.status <= 504
        assert msgspec.json.decode(msgspec.json.encode(answer.content))["data"] == {"digest": "01"}
    assert len(kinds) > 30


def test_what_goes_with_a_status() -> None:
    assert plain_problem(401, "no").headers["WWW-Authenticate"].startswith("Bearer")
    assert plain_problem(503, "no").headers["Retry-After"] == "1"
    assert plain_problem(404, "no").headers["Cache-Control"] == "no-store"
