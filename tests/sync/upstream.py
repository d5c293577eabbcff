"""DiffSync's own unit tests, with our classes in place of its base classes.

    python tests/sync/upstream.py path/to/a/checkout/of/diffsync [pytest's arguments]

After each test, what every adapter holds that the test has made is flushed into a document of a server, and into a document per object,
and loaded again by an adapter of the same class: DiffSync must not see a difference. Adapters with objects that have no JSON form, or no
class to load them by, are left out and counted.

Left out are the tests of DiffSync's store in Redis, those of its example programs, which are processes of their own, and those of `__new__`
where the installed DiffSync has none: it came with 2.1 and went with 2.2.3.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import diffsync
import pytest
import structlog
from diffsync.store.local import LocalStore

from palimpsest.client import SyncClient
from palimpsest.errors import InvalidValue
from palimpsest.sync import PalimpsestAdapter, PalimpsestModel
from palimpsest.testing.running import running_server

LEFT_OUT = ("test_redisstore.py", "test_examples.py")
LAYOUTS = ("document", "documents")


class Adapter(PalimpsestAdapter):
    """Remembers which there are. Its name is DiffSync's, which shows in the names of adapters."""

    all: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        Adapter.all.add(self)


class Log:
    """What is logged while a test runs."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def take(self, logger: Any, level: str, event: Any) -> Any:
        self.events.append({**event, "level": level})
        raise structlog.DropEvent

    def has(self, message: str, **context: Any) -> bool:
        return any({**context, "event": message}.items() <= event.items() for event in self.events)


class Plugin:
    """Checks after each test; counts what it did."""

    def __init__(self, client: SyncClient) -> None:
        self.counts: Counter[str] = Counter()
        self._client = client

    @pytest.fixture(autouse=True)
    def _check_adapters(self) -> Iterator[None]:
        Adapter.all.clear()
        yield
        gc.collect()
        for number, adapter in enumerate(list(Adapter.all)):
            if isinstance(adapter.store, LocalStore) and len(adapter):
                self._check(adapter, f"check/{self.counts.total()}-{number}")

    @pytest.fixture
    def log(self) -> Iterator[Log]:
        """What these tests have of a plugin of their own."""
        before = structlog.get_config()
        log = Log()
        structlog.configure(processors=[log.take])
        yield log
        structlog.configure(**before)

    def _check(self, adapter: Any, doc: str) -> None:
        kind = type(adapter)
        if not adapter.get_all_model_names() <= kind._models().keys():
            self.counts["adapters of objects without a class"] += 1
            return
        for layout in LAYOUTS:
            try:
                adapter.attach(self._client, f"{doc}/{layout}", layout=layout).save()
            except InvalidValue:
                self.counts["adapters of objects without a JSON form"] += 1
                return
            again = PalimpsestAdapter.__new__(kind)
            PalimpsestAdapter.__init__(again, self._client, f"{doc}/{layout}", layout=layout)
            PalimpsestAdapter.load(again)
            assert again.get_all_model_names() == {
                name for name in adapter.get_all_model_names() if adapter.count(name)
            }
            for name in again.get_all_model_names():
                assert _shown(again, name) == _shown(adapter, name)
            self.counts[f"adapters flushed and loaded again, {layout}"] += 1


def _shown(adapter: Any, modelname: str) -> dict[str, Any]:
    """All that DiffSync compares: attributes, and children in their order."""
    return {
        item.get_unique_id(): (
            item.get_identifiers(),
            item.get_attrs(),
            {name: list(getattr(item, field)) for name, field in item.get_children_mapping().items()},
        )
        for item in adapter.get_all(modelname)
    }


def main(checkout: Path, arguments: list[str]) -> int:
    has_new = diffsync.Adapter.__new__ is not object.__new__
    diffsync.Adapter = Adapter  # type: ignore[misc]
    diffsync.DiffSyncModel = PalimpsestModel  # type: ignore[misc]
    with running_server() as server, server.connect_sync() as client:
        plugin = Plugin(client)
        files = sorted(
            set((checkout / "tests" / "unit").glob("test_*.py"))
            - {checkout / "tests" / "unit" / name for name in LEFT_OUT}
        )
        options = ["-p", "no:cacheprovider", "--rootdir", str(checkout), "--import-mode=importlib", "-q"]
        if not has_new:
            options += ["-k", "not adapter_new"]
        code = pytest.main([*options, *arguments, *map(str, files)], plugins=[plugin])
    for name, count in sorted(plugin.counts.items()):
        print(f"{count:5} {name}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
