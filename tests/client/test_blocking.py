"""The same words, blocking; the server runs on an event loop in a thread of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from anyio.from_thread import start_blocking_portal

from palimpsest.client import Client, Create, SyncClient, connect_sync
from palimpsest.embedded import Server
from palimpsest.errors import ConnectionLost, DocumentNotFound, InvalidRequest, VersionConflict
from palimpsest.state.delta import Delta, Increment
from palimpsest.state.retention import Retention


@contextmanager
def running() -> Iterator[str]:
    with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(Server.memory()) as server:
        yield server.url


@pytest.fixture
def url() -> Iterator[str]:
    with running() as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[SyncClient]:
    with connect_sync(url) as connected:
        yield connected


def test_it_has_the_words_of_the_async_client() -> None:
    asynchronous = {name for name in dir(Client) if not name.startswith("_")}
    blocking = {name for name in dir(SyncClient) if not name.startswith("_")}
    assert asynchronous - {"open", "on", "on_reconnect"} == blocking - {
        "client_id"
    }  # what calls back needs an event loop


def test_documents(client: SyncClient) -> None:
    assert client.create("n/1", {"a": 1}, by="ana").version == 1
    assert client.update("n/1", {"a": Increment(1)}, expect=1).version == 2
    assert client.get("n/1").value == {"a": 2}
    assert client.get("n/1", version=1).value == {"a": 1}
    made = client.transaction({"n/1": {"a": 5}, "n/2": Create(7)})
    assert (made["n/1"].version, made["n/2"].version) == (3, 1)
    assert [document and document.value for document in client.get_many(["n/2", "x"])] == [7, None]
    assert list(client.list("n/*")) == ["n/1", "n/2"]
    assert client.delete("n/2").version == 2
    with pytest.raises(DocumentNotFound):
        client.get("n/2")
    assert client.ping() > 0
    assert client.statistics()["connected"] == 1


def test_the_past(client: SyncClient) -> None:
    client.create("n", {"a": 1, "b": 1}, tags={"x"})
    client.update("n", {"a": 2}, by="ana")
    client.update("n", {"b": 2})
    assert client.get("n", tag="x").value == {"a": 1, "b": 1}
    assert client.diff("n", 1, "main:2") == Delta().set("a", 2)
    assert client.blame("n")["a"].by == "ana"
    assert client.undo("n", version=2).version == 4
    assert client.revert("n", to=2).version == 5
    assert client.get("n").value == {"a": 2, "b": 1}
    client.tag("n", version=2, tags={"released"})
    client.untag("n", 1, {"x"})
    assert [made.version for made in client.history("n", tags={"x", "released"})] == [2]
    assert client.digest("n", version=3) == client.digest("n", version=3)
    with pytest.raises(InvalidRequest):
        client.history("n", limit=-1)


def test_what_is_kept(client: SyncClient) -> None:
    client.create("n", {"a": 1, "secret": 5})
    for number in range(2, 6):
        client.update("n", {"a": number})
    client.erase("n", "secret")
    assert client.stats("n").events == 6
    policy = Retention(documents="n", versions=2)
    client.retention.put("few", policy, by="ana")
    assert list(client.retention.list()) == [("few", policy)]
    told: list[int] = []
    assert client.prune(dry_run=False, on_progress=lambda done, total: told.append(done)).events == 4
    assert told
    client.retention.delete("few")
    assert [made.version for made in client.history("n")] == [6, 5]


def test_history_travels(url: str, client: SyncClient) -> None:
    for number in range(300):
        client.create(f"n/{number}", number)
    lines = list(client.export())
    assert len(lines) == 301
    with running() as other_url, connect_sync(other_url) as other:
        assert other.import_history(client.export()).versions == 300
        assert list(other.export()) == lines
        with pytest.raises(InvalidRequest, match="line 2"):
            other.import_history([lines[0], "no line"])
    assert client.import_history(client.export()).present == 300


def test_pages(url: str) -> None:
    with connect_sync(url, page_items=2) as client:
        client.create("n", {})
        for number in range(6):
            client.update("n", {"n": number})
        assert [made.version for made in client.history("n")] == [7, 6, 5, 4, 3, 2, 1]
        assert [made.version for made in client.history("n", newest_first=False, limit=3)] == [1, 2, 3]
        versions = client.history("n")
        assert next(iter(versions)).version == 7
        del versions  # an iterator that is given up half-way is closed


def test_edit(client: SyncClient) -> None:
    client.create("n", {"a": {"b": 1}})
    with client.edit("n") as draft:
        draft["a"]["b"] = 2
    assert draft.version.version == 2
    assert client.get("n").value == {"a": {"b": 2}}


def test_an_edit_that_fails(client: SyncClient) -> None:
    client.create("n", {"a": 1})

    def edit(then: Callable[[], object]) -> None:
        with client.edit("n") as draft:
            draft["a"] = 2
            then()

    with pytest.raises(VersionConflict):
        edit(lambda: client.update("n", {"c": 1}))
    with pytest.raises(KeyError):
        edit(lambda: {}["missing"])
    assert client.get("n").value == {"a": 1, "c": 1}


def test_subscribe(client: SyncClient) -> None:
    client.create("n", {"a": 0})
    with client.subscribe("n") as changes:
        for number in range(1, 4):
            client.update("n", {"a": number})
        found = [next(changes) for _ in range(3)]
        assert [change.version for change in found] == [2, 3, 4]
        assert changes.cursor == found[-1].cursor
    assert list(changes) == []
    with client.subscribe("n", resume_after=found[0].cursor, values=True) as changes:
        assert [next(changes).value, next(changes).value] == [{"a": 2}, {"a": 3}]


def test_named_subscriptions(client: SyncClient) -> None:
    client.create("n", 1)
    client.update("n", {"": 2})
    with client.subscribe("n", name="work", start="beginning", tries_max=1) as changes:
        first, second = next(changes), next(changes)
        changes.ack(first)
        changes.nack(second, reason="no")
        state = client.subscription_state("work")
        assert [(letter.version, letter.reason) for letter in state.dead_letters] == [(2, "no")]
        client.redrive("work", *state.dead_letters)
        again = next(changes)
        assert (again.version, again.tries) == (2, 2)
        changes.ack(again)
    assert [(state.name, state.dead) for state in client.subscriptions()] == [("work", 0)]
    client.delete_subscription("work")
    assert client.subscriptions() == []


def test_closing_a_subscription_ends_a_loop_in_another_thread(client: SyncClient) -> None:
    client.create("n", {})
    found: list[int] = []
    first = threading.Event()
    with client.subscribe("n", start="beginning") as changes:

        def read() -> None:
            for change in changes:
                found.append(change.version)
                first.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert first.wait(5)
        changes.close()
        reader.join(5)
    assert not reader.is_alive()
    assert found == [1]


def test_what_is_there_comes_first(client: SyncClient) -> None:
    client.create("n", {"a": 0}, by="ana")
    with client.subscribe("n", start="snapshot", by="bo") as changes:
        shown = next(changes)
        assert (shown.snapshot, shown.value) == (True, {"a": 0})
        client.update("n", {"a": 1}, by="ana")
        client.update("n", {"a": 2}, by="bo")
        assert (next(changes).version, changes.current) == (3, True)
    with pytest.raises(InvalidRequest):
        client.subscribe("n", start="then")  # type: ignore[arg-type]


def test_transactions(client: SyncClient) -> None:
    with client.subscribe("n/*", start="beginning") as changes:
        client.transaction({"n/1": Create(1), "n/2": Create(2), "m": Create(3)})
        groups = changes.transactions()
        assert [change.document for change in next(groups)] == ["n/1", "n/2"]
        changes.close()
        assert list(groups) == []


def test_watch_value(client: SyncClient) -> None:
    client.create("config", {"a": 1})
    with client.watch_value("config", path="a", default=0) as config:
        assert (config.value, config.version, config.exists, config.connected) == (1, 1, True, True)
        client.update("config", {"a": 2})
        assert config.changed(timeout_seconds=5) == 2
        with pytest.raises(TimeoutError):
            config.changed(timeout_seconds=0.01)
        assert 0 <= config.age_seconds < 5
        client.delete("config")
        assert (config.changed(), config.exists) == (0, False)
    assert not config.connected


def test_any_number_of_threads(client: SyncClient) -> None:
    client.create("n", {"count": 0})

    def work() -> None:
        for _ in range(20):
            client.update("n", {"count": Increment(1)})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("n").value == {"count": 160}


def test_a_client_that_is_closed(url: str) -> None:
    client = connect_sync(url)
    client.create("a", 1)
    client.create("b", 1)
    names = client.list("*")
    assert next(iter(names)) == "a"
    changes = client.subscribe("a")
    with changes:
        client.close()
    client.close()
    for call in (client.ping, lambda: client.get("a"), lambda: next(changes), lambda: list(client.list("*"))):
        with pytest.raises(ConnectionLost, match="closed"):
            call()
    del names


def test_a_client_that_is_forgotten_ends_its_thread(url: str) -> None:
    before = threading.active_count()
    client = connect_sync(url)
    client.ping()
    assert threading.active_count() == before + 1
    del client
    assert threading.active_count() == before


def test_a_program_that_does_not_close_its_client_ends(url: str) -> None:
    program = f"from palimpsest import connect_sync; client = connect_sync({url!r}); client.create('a', 1)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_nobody_listens() -> None:
    before = threading.active_count()
    with pytest.raises(ConnectionLost, match=r"palimpsest://127\.0\.0\.1:1"):
        connect_sync("palimpsest://127.0.0.1:1", connect_seconds=0)
    assert threading.active_count() == before
