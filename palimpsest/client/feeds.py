"""What may be asked of a feed: from the arguments of `subscribe` to the message, in one place for all who take them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, TypedDict

from palimpsest.client.places import maybe_at
from palimpsest.client.requests import check, check_numbers, check_seconds, check_texts, make_path, make_tags
from palimpsest.client.viewing import make_view
from palimpsest.errors import InvalidRequest
from palimpsest.protocol import messages as m
from palimpsest.state.delta import AnyPath
from palimpsest.words import MAIN, Kind

Start = Literal["now", "beginning", "snapshot"]
"""Where a subscription begins that has no cursor: with what happens from now on, with the first change of the log, or with what is
there now."""

Policy = Literal["all", "latest", "disconnect"]
"""What becomes of a subscription that does not keep up: it gets everything, later; it gets the newest version of each document;
it ends with Overloaded."""

_STARTS = ("now", "beginning", "snapshot")


class FeedOptions(TypedDict, total=False):
    """The named arguments of `Client.subscribe`, for those who hand them on."""

    branch: str
    resume_after: str | None
    start: Start
    from_version: int | None
    from_time: datetime | None
    values: bool
    tags: Iterable[str]
    tags_all: Iterable[str]
    by: str | None
    path: AnyPath | None
    kinds: Iterable[Kind]
    policy: Policy
    speed: float | None
    perspective: str | None
    family: str | None
    level: int | None
    name: str | None
    ack_seconds: float
    tries_max: int
    unacked_max: int


class Wish:
    """What is asked: `template` without the numbers and the start, which are another's with each connection. Raises InvalidRequest,
    InvalidName or InvalidPath for what makes no sense."""

    def __init__(
        self,
        pattern: str,
        *,
        branch: str = MAIN,
        resume_after: str | None = None,
        start: Start = "now",
        from_version: int | None = None,
        from_time: datetime | None = None,
        values: bool = False,
        tags: Iterable[str] = (),
        tags_all: Iterable[str] = (),
        by: str | None = None,
        path: AnyPath | None = None,
        kinds: Iterable[Kind] = (),
        policy: Policy = "all",
        speed: float | None = None,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
        name: str | None = None,
        ack_seconds: float = 30.0,
        tries_max: int = 5,
        unacked_max: int = 16,
    ) -> None:
        check(pattern, branch)
        check_texts(resume_after=resume_after, by=by, policy=policy, name=name)
        check_numbers(from_version=from_version, tries_max=tries_max, unacked_max=unacked_max)
        self.from_version = from_version
        self.from_time = maybe_at(from_time, "from_time")
        self.start = start
        self.resume_after = resume_after
        self.speed = speed
        self.view = make_view(perspective, family, level)
        self._check_start()
        self._check_speed()
        self.template = m.Subscribe(
            0,
            0,
            pattern,
            branch,
            values=bool(values),
            tags=make_tags(tags),
            tags_all=make_tags(tags_all, "tags_all"),
            by=by,
            path=None if path is None else make_path(path),
            kinds=_make_kinds(kinds),
            policy=policy,
            name=name,
            ack_seconds=check_seconds(ack_seconds, "ack_seconds"),
            tries_max=tries_max,
            unacked_max=unacked_max,
        )
        if name is not None:
            self._check_named()

    def _check_named(self) -> None:
        if self.start == "snapshot" or self.speed is not None or self.template.policy != "all":
            reason = "a named subscription hands out each change until it is acknowledged"
            raise InvalidRequest(f"no snapshot, speed or other policy: {reason}", reason="name")
        if self.template.tries_max < 1 or self.template.unacked_max < 1:
            raise InvalidRequest("at least one delivery, and one change at a time", reason="name")

    def _check_start(self) -> None:
        if self.start not in _STARTS:
            raise InvalidRequest(
                f"a subscription starts at one of {', '.join(_STARTS)}, not {self.start!r}", reason="start"
            )
        places = (self.resume_after, self.from_version, self.from_time)
        if places.count(None) < 2:
            raise InvalidRequest("a cursor, a version or a time: one of them says where it starts", reason="start")
        # Special case: a snapshot beside a cursor is for when the cursor is of no use any more.
        if (
            self.start != "now"
            and places.count(None) < 3
            and (self.start, self.resume_after is None) != ("snapshot", False)
        ):
            raise InvalidRequest(
                f"start={self.start!r}, and another place to start at: one of them is meant", reason="start"
            )

    def _check_speed(self) -> None:
        speed: Any = self.speed
        if speed is None:
            return
        if type(speed) not in (int, float) or not 0 < speed < float("inf"):
            raise InvalidRequest(f"speed is {speed!r}; 1 is as fast as it was, 2 twice as fast", reason="speed")
        if self.start != "beginning" and (self.resume_after, self.from_version, self.from_time) == (None, None, None):
            raise InvalidRequest(
                "speed is for history: say where to begin, by start='beginning', a cursor, a version or a time",
                reason="speed",
            )


def _make_kinds(kinds: Iterable[Kind]) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(Kind(kind)) for kind in kinds}))
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"kinds are some of {', '.join(map(str, Kind))}: {error}", reason="kinds") from None
