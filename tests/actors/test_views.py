"""What is asked through a perspective: attempts to learn, or to change, what it does not show."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from branch_kit import plain, raw
from feed_kit import changes, ended, follow, states, ticks, until
from perspective_kit import ask, define, send, sets, told, update

from palimpsest.actors.archiver import Archiver
from palimpsest.actors.views import Cache
from palimpsest.errors import (
    BranchNotFound,
    Compacted,
    DocumentNotFound,
    Forbidden,
    InvalidRequest,
    LimitExceeded,
    NotWritable,
    PalimpsestError,
    SchemaViolation,
    VersionConflict,
    ViewChanged,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.words import RECORD, Kind, Meta

pytestmark = pytest.mark.anyio

WRITABLE = {"writable": ["shown"]}


async def view(peer: Any, document: str, **said: Any) -> Any:
    return plain((await ask(peer, m.Get, document, **said)).value)


async def fork(peer: Any, document: str, branch: str, source: str, version: int) -> None:
    await peer.ask(m.Branch, document, branch, m.Place(source, version))


# --- one document --------------------------------------------------------------------------------------------------


async def test_a_view_is_made_once_until_something_shown_is_touched(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, cache = house.peer(), house.partition.views.cache
        await define(peer)
        await peer.create("d/1", {"shown": 1, "hidden": 1})
        assert await view(peer, "d/1") == {"shown": 1}
        assert (cache.hits, cache.misses) == (0, 1)
        await update(peer, "d/1", hidden=2)
        assert await view(peer, "d/1") == {"shown": 1}
        assert (cache.hits, cache.misses) == (1, 1)
        await update(peer, "d/1", shown=2)
        assert await view(peer, "d/1") == {"shown": 2}
        assert (cache.hits, cache.misses) == (1, 2)


async def test_who_made_what_is_not_shown_is_not_told(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        await peer.create("d/1", {"shown": 1}, meta=Meta("ana"))
        await update(peer, "d/1", said=Meta("eve", "a rise for bob", ("pay",)), hidden=1)
        for said in ({}, {"version": 2}, {"at": house.now}, {}):
            id = send(peer, m.Get, "d/1", **said)
            assert (await peer.answer(id)).version == 2
            assert b"eve" not in told(peer, id)
        id = send(peer, m.GetMany, ("d/1",))
        await peer.answer(id)
        assert b"eve" not in told(peer, id)
        await peer.ask(m.Erase, "d/1", path=("hidden",))
        assert (await ask(peer, m.Get, "d/1")).kind == Kind.UPDATE
        assert (await ask(peer, m.Get, "d/1", version=3)).kind == Kind.UPDATE


async def test_documents_that_it_is_not_for_are_as_if_they_never_were(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer, documents=["d/*", "e/shown"], **WRITABLE)
        await peer.create("e/there", {"shown": 1})
        await peer.create("e/gone", {"shown": 1})
        await peer.ask(m.Delete, "e/gone")
        await peer.ask(m.Branch, "e/there", "draft")
        requests: list[tuple[type, Any, dict[str, Any]]] = [
            (m.Get, (), {}),
            (m.Get, (), {"version": 1}),
            (m.Get, (), {"branch": "draft"}),
            (m.History, (), {}),
            (m.History, (), {"branch": "draft"}),
            (m.Diff, (m.Place(version=1), m.Place()), {}),
            (m.Blame, (m.Place(),), {}),
            (m.Update, (sets(shown=2),), {}),
            (m.Update, (sets(shown=2),), {"expect": 7}),
            (m.Create, (raw({"shown": 2}),), {}),
            (m.Delete, (), {}),
        ]
        for kind, arguments, said in requests:
            answers = set()
            for name in ("e/there", "e/gone", "e/nevr"):
                with pytest.raises((DocumentNotFound, NotWritable)) as caught:
                    await ask(peer, kind, name, *arguments, **said)
                answers.add(repr(caught.value.to_wire()).replace(name, "NAME"))
            assert len(answers) == 1, kind
        for name in ("e/there", "e/gone", "e/nevr"):
            with pytest.raises(DocumentNotFound):
                await ask(peer, m.Subscribe, 1, name)
            part = m.Part(m.GUARD, name, raw(None), expect=7)
            with pytest.raises(NotWritable):
                await ask(peer, m.Transact, (m.Part(Kind.UPDATE, "d/1", sets(shown=1)), part))


async def test_a_document_of_a_view_that_never_was_is_told_as_one_that_the_view_is_not_for(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        for kind, arguments in (
            (m.Get, ()),
            (m.History, ()),
            (m.Diff, (m.Place(version=1), m.Place())),
            (m.Blame, (m.Place(),)),
        ):
            answers = set()
            for name in ("d/1", "e/1"):
                with pytest.raises(DocumentNotFound) as caught:
                    await ask(peer, kind, name, *arguments)
                answers.add(repr(caught.value.to_wire()).replace(name, "NAME"))
            assert len(answers) == 1, kind


async def test_what_is_kept_beside_a_value_is_in_no_view(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer, include=[""], exclude=["hidden"], writable=[""])
        await peer.create("d/1", {"hidden": 1})
        await peer.ask(m.Label, "d/1", 1, ("secret",))
        await peer.ask(m.Get, "d/1", branch=RECORD)
        place = m.Place(RECORD)
        for kind, arguments, said in (
            (m.Get, ("d/1",), {"branch": RECORD}),
            (m.Get, ("d/1",), {"branch": RECORD, "version": 1}),
            (m.GetMany, (("d/1",),), {"branch": RECORD}),
            (m.List, ("d/*",), {"branch": RECORD}),
            (m.History, ("d/1",), {"branch": RECORD}),
            (m.Diff, ("d/1", place, place), {}),
            (m.Diff, ("d/1", m.Place(), place), {}),
            (m.Blame, ("d/1", place), {}),
            (m.Subscribe, (1, "d/1"), {"branch": RECORD}),
            (m.Subscribe, (1, "d/*"), {"branch": RECORD}),
        ):
            with pytest.raises(BranchNotFound):
                await ask(peer, kind, *arguments, **said)
        guard = m.Part(m.GUARD, "d/1", raw(None), RECORD, expect=9)
        for kind, arguments in (
            (m.Update, ("d/1", sets(a=1), RECORD)),
            (m.Delete, ("d/1", RECORD)),
            (m.Transact, ((m.Part(Kind.UPDATE, "d/1", sets(a=1)), guard),)),
        ):
            with pytest.raises(NotWritable):
                await ask(peer, kind, *arguments)


async def test_documents_of_the_server_are_not_in_a_view_that_is_for_all(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer, documents="**", include=[""], writable=[""])
        with pytest.raises(DocumentNotFound):
            await ask(peer, m.Get, "$system/perspectives/p")
        with pytest.raises(NotWritable):
            await ask(peer, m.Update, "$system/perspectives/p", sets(include=["", "x"]))
        assert (await ask(peer, m.List, "$system/**")).names == ()


@pytest.mark.parametrize("kind", [m.Erase, m.Label, m.Revert, m.Undo, m.Branch, m.Merge, m.Digest, m.Import])
def test_what_cannot_be_asked_through_a_perspective_is_no_message(kind: type) -> None:
    assert kind not in m.Viewed.__args__


# --- what is kept --------------------------------------------------------------------------------------------------


async def test_a_branch_of_a_name_that_there_was_before_has_views_of_its_own(open_house: Any) -> None:
    """It may have the same numbers, too, as long as nothing was written to it."""
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        await peer.create("d/1", {"shown": 1})
        await fork(peer, "d/1", "other", "main", 1)
        await update(peer, "d/1", shown="main")
        await update(peer, "d/1", "other", shown="other")
        for source in ("main", "other", "main"):
            await fork(peer, "d/1", "draft", source, 2)
            for said in ({}, {"version": 2}, {}, {"version": 2}):
                assert await view(peer, "d/1", branch="draft", **said) == {"shown": source}
            await peer.ask(m.DeleteBranch, "d/1", "draft")


async def test_what_was_erased_is_not_in_views_that_are_kept(open_house: Any) -> None:
    """Until the archive has forgotten it, what is read of the past may have it still."""
    async with open_house() as house, house.running(inline_archiver=False):
        peer, archiver = house.peer(), Archiver(house.archive, snapshot_versions=4)

        async def archive() -> None:
            tail = house.partition.tail
            while tail.start < tail.end:
                house.partition.archived(await archiver.write(tail.batches(tail.start, bytes_max=1 << 20)))

        await define(peer)
        await peer.create("d/1", {"shown": {"secret": 1, "rest": 1}})
        await update(peer, "d/1", hidden=1)
        await archive()
        erasure = peer.send(m.Erase, "d/1", path=("shown", "secret"))
        await until(lambda: house.partition.tail.end > house.partition.tail.start)
        for version in (1, 2):
            assert await view(peer, "d/1", version=version) == {"shown": {"secret": 1, "rest": 1}}
        assert not peer.answers(erasure)
        await archive()
        await peer.answer(erasure)
        for _ in range(2):
            for said in ({}, {"version": 1}, {"version": 2}, {"version": 3}):
                assert await view(peer, "d/1", **said) == {"shown": {"rest": 1}}
        assert house.partition.views.cache.hits


async def test_views_are_of_the_perspective_as_it_is(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer, include=["shown", "hidden"])
        await peer.create("d/1", {"shown": 1, "hidden": 2})
        for _ in range(2):
            assert await view(peer, "d/1") == {"shown": 1, "hidden": 2}
            assert await view(peer, "d/1", version=1) == {"shown": 1, "hidden": 2}
        await define(peer)
        assert await view(peer, "d/1") == {"shown": 1}
        assert await view(peer, "d/1", version=1) == {"shown": 1}
        await define(peer, documents="e/*")
        with pytest.raises(DocumentNotFound):
            await view(peer, "d/1")


class Digest:
    def __init__(self, digest: str) -> None:
        self.digest = digest


def test_a_cache_keeps_within_its_bytes() -> None:
    cache, lens = Cache(10_000), Digest("a")
    for number in range(100):
        cache.put(lens, f"d/{number % 50}", "main", None, number, b"x" * 100)  # type: ignore[arg-type]
        assert 0 < cache.bytes <= 10_000
    assert cache.get(lens, "d/49", "main", None) == (99, b"x" * 100)  # type: ignore[arg-type]
    assert cache.get(lens, "d/1", "main", None) is None  # type: ignore[arg-type]
    for number in range(50):
        cache.forget(f"d/{number}")
    assert cache.bytes == 0
    assert not cache._of


def test_a_view_larger_than_the_cache_is_not_kept() -> None:
    cache, lens = Cache(1_000), Digest("a")
    cache.put(lens, "d", "main", None, 1, b"x" * 2_000)  # type: ignore[arg-type]
    assert cache.get(lens, "d", "main", None) is None  # type: ignore[arg-type]
    assert cache.bytes == 0


# --- names ---------------------------------------------------------------------------------------------------------


async def test_pages_of_names_are_of_those_that_are_shown(open_house: Any) -> None:
    async with open_house(Limits(page_items_max=3)) as house, house.running():
        peer = house.peer()
        await define(peer, documents=["d/*", "f/*"])
        for name in ("d/1", *(f"e/{number}" for number in range(10)), "f/1", "f/2", "g/1"):
            await peer.create(name, {})
        found, after, more = [], "", True
        while more:
            page = await ask(peer, m.List, "**", after=after, limit=1)
            assert len(page.names) <= 1
            assert page.names or not page.more
            found += page.names
            after, more = page.names[-1] if page.names else after, page.more
        assert found == ["d/1", "f/1", "f/2"]
        with pytest.raises(InvalidRequest):
            await ask(peer, m.List, "**", limit=0)


async def test_many_documents_at_once_are_those_that_are_shown(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        for name in ("d/1", "e/1", "d/2"):
            await peer.create(name, {"shown": name, "hidden": 1})
        await peer.ask(m.Delete, "d/2")
        answer = await ask(peer, m.GetMany, ("d/1", "d/2", "d/3", "e/1", "e/2"))
        assert [found and plain(found.value) for found in answer.documents] == [
            {"shown": "d/1"},
            None,
            None,
            None,
            None,
        ]
        assert (await ask(peer, m.GetMany, ())).documents == ()
        with pytest.raises(LimitExceeded):
            await ask(peer, m.GetMany, ("d/1",) * (house.limits.page_items_max + 1))


# --- the past ------------------------------------------------------------------------------------------------------


async def a_past(house: Any) -> Any:
    """Versions 1, 3 and 6 of seven show something; 2 and 5 are by eve, and hidden."""
    peer = house.peer()
    await define(peer)
    await peer.create("d/1", {"shown": 1}, meta=Meta("ana"))
    await update(peer, "d/1", said=Meta("eve", tags=("t",)), hidden=1)
    await update(peer, "d/1", said=Meta("ana", tags=("t",)), shown=2)
    await update(peer, "d/1", hidden=2)
    await update(peer, "d/1", said=Meta("eve"), hidden=3)
    await update(peer, "d/1", shown=3, hidden=4)
    await update(peer, "d/1", hidden=5)
    return peer


async def versions(peer: Any, **said: Any) -> tuple[list[int], list[int]]:
    """Of a whole history, page by page, and where each page ended."""
    found: list[int] = []
    ends: list[int] = []
    first = None
    while True:
        page = await ask(peer, m.History, "d/1", newest_first=False, first=first, **said)
        found += [entry.version for entry in page.entries]
        ends.append(page.next)
        if not page.more:
            return found, ends
        first = page.next


async def test_a_history_has_what_changed_the_view(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = await a_past(house)
        assert (await versions(peer))[0] == [1, 3, 6]
        assert (await versions(peer, limit=2))[0] == [1, 3, 6]
        assert (await versions(peer, path=("shown",)))[0] == [1, 3, 6]
        assert (await versions(peer, path=("hidden",)))[0] == [1]  # which set all there was
        assert (await versions(peer, by="ana"))[0] == [1, 3]
        assert (await versions(peer, tags=("t",)))[0] == [3]
        page = await ask(peer, m.History, "d/1")
        assert all(entry.request is None for entry in page.entries)


async def test_where_a_page_ends_does_not_tell_who_made_what_is_hidden(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = await a_past(house)
        for condition in ({"by": "eve"}, {"tags": ("t",)}, {"tags_all": ("t",)}):
            assert (await versions(peer, limit=1, **condition))[1] == (await versions(peer, limit=1, by="nobody"))[1]


async def test_what_was_pruned_before_a_version_does_not_hide_it(open_house: Any) -> None:
    """The view of what is kept is set as a whole: what it was before cannot be told."""
    async with open_house() as house, house.running():
        peer = await a_past(house)
        start = (await ask(peer, m.Subscribe, 1, "**")).cursor
        start = start.partition(".")[0] + ".1"
        await house.archived()
        assert (await peer.ask(m.Prune, "d/1", "main", m.Retain(versions=2, tags=()), False)).events == 5
        page = await ask(peer, m.History, "d/1")
        assert [(entry.version, plain(entry.delta)) for entry in page.entries] == [(6, [[0, [], {"shown": 3}]])]
        await ask(peer, m.Subscribe, 2, "**", resume_after=start)
        error = await ended(peer, 2)
        assert isinstance(error, Compacted)
        await ask(peer, m.Subscribe, 3, "**", resume_after=error.oldest)
        await until(lambda: states(peer, 3)[-1:] == ["live"])
        assert [(change.version, plain(change.delta)) for change in changes(peer, 3)] == [(6, [[0, [], {"shown": 3}]])]


async def test_differences_and_authors_are_of_what_is_shown(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = await a_past(house)
        answer = await ask(peer, m.Diff, "d/1", m.Place(version=3), m.Place(version=5))
        assert plain(answer.delta) == []
        answer = await ask(peer, m.Diff, "d/1", m.Place(version=1), m.Place())
        assert plain(answer.delta) == [[0, ["shown"], 3]]
        answer = await ask(peer, m.Blame, "d/1", m.Place())
        assert [path for path, _ in answer.paths] == [("shown",)]
        assert [(entry.version, entry.request) for entry in answer.entries] == [(6, None)]
        errors = []
        for key in ("hidden", "nevers"):
            with pytest.raises(DocumentNotFound) as caught:
                await ask(peer, m.Blame, "d/1", m.Place(), (key,))
            errors.append(repr(caught.value.to_wire()).replace(key, "KEY"))
        assert errors[0] == errors[1]


async def test_how_much_is_hidden_is_not_told_where_blame_is_too_large(open_house: Any) -> None:
    async with open_house(Limits(frame_bytes_max=4096)) as house, house.running():
        peer = house.peer()
        await define(peer)
        await peer.create("d/1", {"shown": 1, "hidden": {f"key-{number:03}": number for number in range(150)}})
        with pytest.raises(LimitExceeded) as caught:
            await ask(peer, m.Blame, "d/1", m.Place())
        assert caught.value.actual is None
        assert not any(character.isdigit() for character in caught.value.message.replace("d/1", ""))


# --- writing -------------------------------------------------------------------------------------------------------


async def test_one_answer_whether_or_not_something_hidden_is_there(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer, **WRITABLE)
        await peer.create("d/1", {"shown": {"a": 1}, "hidden": {"a": 1}, "text": "t"})
        await peer.create("d/2", {"shown": {"a": 1}})
        deltas: list[Any] = [
            [[0, ["hidden"], 1]],
            [[0, ["hidden", "a"], 1]],
            [[0, ["text", "a"], 1]],
            [[1, ["hidden"]]],
            [[0, [], {"shown": 1}]],
        ]
        for op in ("add", "remove", "replace", "test", "move", "copy"):
            for target, source in (("/hidden", "/shown"), ("/hidden/a", "/shown/a"), ("/shown/b", "/hidden/a")):
                deltas.append([["json-patch", op, target, source]])
        for delta in deltas[:5]:
            answers = set()
            for name in ("d/1", "d/2"):
                with pytest.raises(PalimpsestError) as caught:
                    await ask(peer, m.Update, name, raw(delta))
                answers.add(repr(caught.value.to_wire()).replace(name, "NAME"))
            assert len(answers) == 1, delta


async def test_how_large_the_whole_is_is_not_told(open_house: Any) -> None:
    async with open_house(Limits(document_bytes_max=1000)) as house, house.running():
        peer = house.peer()
        await define(peer, **WRITABLE)
        await peer.create("d/1", {"hidden": "x" * 700})
        for kind, arguments in (
            (m.Update, ("d/1", sets(shown="y" * 400))),
            (m.Transact, ((m.Part(Kind.UPDATE, "d/1", sets(shown="y" * 400)),),)),
        ):
            with pytest.raises(LimitExceeded) as caught:
                await ask(peer, kind, *arguments)
            assert (caught.value.limit, caught.value.actual) == ("document_bytes_max", None)
            assert "11" not in caught.value.message


async def test_a_transaction_says_what_the_view_says(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer, **WRITABLE)
        await peer.create("d/1", {"shown": 1, "hidden": 1})
        await peer.create("d/2", {"shown": 1, "hidden": 1})
        good = m.Part(Kind.UPDATE, "d/1", sets(shown=2))
        for part, error in (
            (m.Part(Kind.UPDATE, "d/2", sets(hidden=2)), NotWritable),
            (m.Part(Kind.DELETE, "d/2", raw(None)), NotWritable),
            (m.Part(m.GUARD, "d/2", raw(None), expect=7), VersionConflict),
            (m.Part(Kind.UPDATE, "d/2", sets(shown=2), base=("main", 1), branch="b"), InvalidRequest),
            (m.Part(Kind.UPDATE, "d/2", sets(shown=2), merged=(("b", 1),)), InvalidRequest),
        ):
            with pytest.raises(error):
                await ask(peer, m.Transact, (good, part))
        with pytest.raises(InvalidRequest):
            await ask(peer, m.Transact, (good,), at=1)
        assert (await peer.get("d/1")).version == 1
        made = await ask(peer, m.Transact, (good, m.Part(m.GUARD, "d/2", raw(None), expect=1)))
        assert [one.document for one in made.made] == ["d/1"]
        assert plain((await peer.get("d/1")).value) == {"shown": 2, "hidden": 1}


async def test_a_repeat_tells_of_nothing_but_what_it_names(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, other = house.peer(), house.peer("other")
        await define(peer, **WRITABLE)
        await peer.create("d/1", {"shown": 1})
        await peer.create("e/1", {"shown": 1})
        parts = (m.Part(Kind.UPDATE, "d/1", sets(hidden=2)), m.Part(Kind.UPDATE, "e/1", sets(shown=2)))
        await peer.ask(m.Transact, parts, key="k")
        answer = await ask(other, m.Transact, (m.Part(Kind.UPDATE, "d/1", sets(shown=3)),), key="k")
        assert answer.repeat
        assert [one.document for one in answer.made] == ["d/1"]


async def test_a_schema_of_something_hidden_is_not_told(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer, **WRITABLE)
        await peer.create("d/1", {"shown": 1, "hidden": "secret-1"})
        schema = {"properties": {"hidden": {"enum": ["secret-2"]}}}
        await peer.create("$system/schemas/s", {"documents": "d/*", "schema": schema})
        for kind, arguments in (
            (m.Update, ("d/1", sets(shown=2))),
            (m.Transact, ((m.Part(Kind.UPDATE, "d/1", sets(shown=2)),),)),
        ):
            id = send(peer, kind, *arguments)
            with pytest.raises(SchemaViolation):
                await peer.answer(id)
            assert b"secret" not in told(peer, id)
            assert b"enum" not in told(peer, id)


async def test_what_makes_no_sense_is_refused(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        with pytest.raises(PalimpsestError, match="no perspective 'q'"):
            await ask(peer, m.Get, "d/1", perspective="q")
        with pytest.raises(PalimpsestError, match="level 1"):
            await ask(peer, m.Get, "d/1", level=1)
        house.partition.views.route(m.Ping(77), house.partition.catalog.lens("p", None), peer, 0)
        with pytest.raises(Forbidden):
            await peer.answer(77)


# --- what goes on --------------------------------------------------------------------------------------------------


async def test_a_cursor_is_of_one_view(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        await define(peer, "q", include=["hidden"])
        await peer.create("d/1", {"shown": 1})
        whole = (await follow(peer, 1)).cursor
        mine = (await ask(peer, m.Subscribe, 2, "**")).cursor
        assert whole != mine
        with pytest.raises(ViewChanged):
            await follow(peer, 3, resume_after=mine)
        for cursor, perspective in ((whole, "p"), (mine, "q")):
            with pytest.raises(ViewChanged):
                await ask(peer, m.Subscribe, 3, "**", resume_after=cursor, perspective=perspective)
        await ask(peer, m.Subscribe, 9, "**", resume_after=mine)


async def test_the_newest_that_is_shown_comes_where_others_are_left_out(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        await peer.create("d/1", {"shown": 1})
        start = (await ask(peer, m.Subscribe, 1, "**")).cursor
        await update(peer, "d/1", shown=2)
        await update(peer, "d/1", shown=3)
        await update(peer, "d/1", hidden=1)
        await ask(peer, m.Subscribe, 2, "**", resume_after=start, values=True, policy="latest")
        await until(lambda: states(peer, 2)[-1:] == ["live"])
        assert [(change.version, plain(change.value)) for change in changes(peer, 2)] == [(3, {"shown": 3})]


async def test_conditions_are_of_what_is_shown(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        await peer.create("d/1", {"shown": 1})
        await ask(peer, m.Subscribe, 1, "**", path=("hidden",))
        await ask(peer, m.Subscribe, 2, "**", by="eve")
        await ask(peer, m.Subscribe, 3, "**", kinds=(int(Kind.ERASE),))
        await update(peer, "d/1", said=Meta("eve"), hidden=1)
        await update(peer, "d/1", said=Meta("eve"), shown=2)
        await peer.ask(m.Erase, "d/1", path=("shown",))
        await ticks(200)
        assert [[change.version for change in changes(peer, number)] for number in (1, 2, 3)] == [[], [3], []]


async def test_a_snapshot_says_nothing_of_who_made_it(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        await peer.create("d/1", {"shown": 1}, meta=Meta("eve"))
        await ask(peer, m.Subscribe, 1, "**", snapshot=True)
        await until(lambda: changes(peer, 1))
        (change,) = changes(peer, 1)
        assert plain(change.value) == {"shown": 1}
        assert change.meta is None


async def test_a_subscription_ends_with_the_perspective_that_it_sees(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        await define(peer, "q")
        await ask(peer, m.Subscribe, 1, "**")
        await ask(peer, m.Subscribe, 2, "**", perspective="q")
        await define(peer, include=["hidden"])
        error = await ended(peer, 1)
        assert error is not None
        assert error.code == "view_changed"
        await define(peer, "q", description="says the same")
        await peer.ask(m.Delete, "$system/perspectives/q")
        error = await ended(peer, 2)
        assert error is not None
        assert error.code == "perspective_not_found"
        assert msgspec.msgpack.encode(error.to_wire())
