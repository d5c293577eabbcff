"""The adapter whose objects are stored in documents.

It is a DiffSync adapter in every respect. Beside that it knows what it has loaded, of which versions, and what has changed in it since; a
synchronization into it ends with one write of just that, conditional on those versions.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import isclass
from typing import Any, Self

from diffsync import Adapter, DiffSyncModel
from diffsync.diff import Diff
from diffsync.enum import DiffSyncFlags
from diffsync.exceptions import DiffClassMismatch
from diffsync.store import BaseStore
from diffsync.store.local import LocalStore

from palimpsest.client import SyncClient
from palimpsest.errors import InvalidRequest, InvalidValue, VersionConflict
from palimpsest.state import DELETE
from palimpsest.sync.applying import Compiled
from palimpsest.sync.changes import Changes
from palimpsest.sync.compiling import compile_diff
from palimpsest.sync.layout import Layout, LayoutName, Place, Read, make_layout
from palimpsest.sync.records import Key, from_record, is_whole, key_of, to_record
from palimpsest.sync.results import NotAttached, SyncResult
from palimpsest.sync.staging import Staging, descendants
from palimpsest.sync.syncer import StagingSyncer
from palimpsest.sync.writing import OnConflict, Parts, Written, write
from palimpsest.words import MAIN

_WORDS = frozenset(
    ("attach", "by", "commit", "compile", "description", "on_conflict", "rebase", "result", "save", "tags", "versions")
)
"""What this class has beside DiffSync's, and a subclass could hide by a model of that name."""


class PalimpsestAdapter(Adapter):
    """A `diffsync.Adapter` that is stored in a document, or in a document per object.

        class Inventory(PalimpsestAdapter):
            site, device = Site, Device
            top_level = ("site",)

        inventory = Inventory(client, doc="inventory")
        inventory.load()
        inventory.sync_from(outside)
        inventory.result.version

    Without a client, or with a `load` of its own that does not call this one's, it is the adapter that DiffSync has. It has a place
    then, too, once it is given a client and a document: a synchronization into it, and `save`, write all that it holds there, as the
    difference to what is there.

    by, description, tags: said of the versions that it writes. on_conflict: what happens where somebody else has changed a document
    since it was loaded. "fail": VersionConflict, and nothing is written. "rebase": what was changed here goes on top of what was changed
    there; VersionConflict where that is the same place.
    """

    by: str | None = None
    description: str | None = None
    tags: Iterable[str] = ()
    on_conflict: OnConflict = "fail"
    result: SyncResult
    """Of the last synchronization into this adapter."""

    def __new__(cls, *arguments: Any, **named: Any) -> Self:
        # Up to DiffSync 2.2.2 its adapters had a `__new__`, which took named arguments and no others.
        return super().__new__(cls) if Adapter.__new__ is object.__new__ else super().__new__(cls, **named)

    def __init__(
        self,
        client: SyncClient | str | None = None,
        doc: Any = None,
        *,
        layout: LayoutName = "document",
        branch: str = MAIN,
        name: str | None = None,
        internal_storage_engine: type[BaseStore] | BaseStore = LocalStore,
        **said: Any,
    ) -> None:
        """said: `by`, `description`, `tags` and `on_conflict`.

        DiffSync's own arguments are taken in DiffSync's order as well: a text in place of client is the name, and what follows it the
        storage engine. Raises InvalidRequest for an argument that makes no sense.
        """
        if isinstance(client, str):
            client, doc, name, internal_storage_engine = None, None, client, doc or internal_storage_engine
        super().__init__(name=name, internal_storage_engine=internal_storage_engine)
        self.result = SyncResult()
        self._staging = Staging()
        self._place: Place | None = None
        self._layout: Layout = make_layout(layout)
        self._read: Read | None = None
        self._loose: set[Key] = set()
        self._is_due = False
        self._say(said)
        if client is not None or doc is not None:
            self.attach(client, doc, layout=layout, branch=branch)

    def attach(self, client: Any, doc: str | None, *, layout: LayoutName = "document", branch: str = MAIN) -> Self:
        """From now on this is where it loads from and writes to. client: the blocking one. Returns itself. Raises InvalidRequest."""
        if not isinstance(client, SyncClient) or not isinstance(doc, str):
            raise InvalidRequest(
                "an adapter is stored with the blocking client, of connect_sync, under a name: (client, doc=...)",
                reason="client",
            )
        self._layout = make_layout(layout)
        self._place = Place(client, doc, branch)
        self._forget()
        return self

    @property
    def versions(self) -> dict[str, int]:
        """By document, the versions that it was loaded from, or that it has made since. Empty where it was not loaded."""
        return {} if self._read is None else self._read.versions

    # --- reading -------------------------------------------------------------------------------------------------

    def load(self, *, version: int | None = None, branch: str | None = None) -> None:
        """Its content is what is stored, and nothing else. version, branch: of the document, other than the newest on its own branch; what
        is written later goes to that branch. Without a place nothing happens, as in DiffSync.

        What is not there is an empty adapter. Raises BranchNotFound, VersionNotFound, InvalidRequest for a version of a document per
        object, and InvalidValue where what is stored makes no objects.
        """
        if self._place is None:
            return
        if branch is not None:
            self._place = Place(self._place.client, self._place.doc, branch)
        models = self._models()
        read = self._layout.read(self._place, models, version=version)
        with _uncollected():
            made = [
                _make(models[name], unique_id, record)
                for name, found in read.contents.items()
                for unique_id, record in sorted(found.items())
            ]
            self._forget()
            self._empty()
            for item in made:
                self.add(item)
        self._loose = {
            (name, unique_id)
            for name, found in read.contents.items()
            for unique_id, record in found.items()
            if not is_whole(models[name], record)
        }
        # The records are not kept: what the adapter holds is the same.
        there: dict[str, dict[str, Any]] = {name: {} for name, found in read.contents.items() if found}
        self._read = Read(there, read.versions)
        self._staging.start()

    def __init_subclass__(cls) -> None:
        """Raises AttributeError where one of its models has the name of a word of this class."""
        super().__init_subclass__()
        taken = sorted(_WORDS & cls._models().keys())
        if taken:
            raise AttributeError(f"a model cannot be named {taken[0]!r}: that is a word of the adapter")

    @classmethod
    def _models(cls) -> dict[str, type[DiffSyncModel]]:
        """The models that it declares, by name."""
        found = {name: getattr(cls, name) for name in dir(cls)}
        return {name: model for name, model in found.items() if isclass(model) and issubclass(model, DiffSyncModel)}

    # --- changing ------------------------------------------------------------------------------------------------

    # What is staged is read off the store's doors, so that what a hook does to other objects is seen as well.

    def add(self, obj: DiffSyncModel) -> None:
        is_new = self._staging.is_open and self.get_or_none(*key_of(obj)) is None
        super().add(obj)
        if is_new:
            self._staging.added(obj)

    def update(self, obj: DiffSyncModel) -> None:
        existed = self._staging.is_open and self.get_or_none(*key_of(obj)) is not None
        super().update(obj)
        self._staging.replaced(obj, existed=existed)

    def remove(self, obj: DiffSyncModel, remove_children: bool = False) -> None:
        keys = [key_of(obj), *(descendants(self, obj) if remove_children and self._staging.is_open else ())]
        super().remove(obj, remove_children)
        self._staging.removed(keys)

    def get_or_instantiate(
        self, model: type[DiffSyncModel], ids: dict[str, Any], attrs: dict[str, Any] | None = None
    ) -> tuple[DiffSyncModel, bool]:
        return self._noted(super().get_or_instantiate(model, ids, attrs), ())

    def get_or_add_model_instance(self, obj: DiffSyncModel) -> tuple[DiffSyncModel, bool]:
        return self._noted(super().get_or_add_model_instance(obj), ())

    def update_or_instantiate(
        self, model: type[DiffSyncModel], ids: dict[str, Any], attrs: dict[str, Any]
    ) -> tuple[DiffSyncModel, bool]:
        return self._noted(super().update_or_instantiate(model, ids, attrs), attrs)

    def update_or_add_model_instance(self, obj: DiffSyncModel) -> tuple[DiffSyncModel, bool]:
        return self._noted(super().update_or_add_model_instance(obj), obj.get_attrs())

    def _noted(self, found: tuple[DiffSyncModel, bool], updated: Iterable[str]) -> tuple[DiffSyncModel, bool]:
        item, is_created = found
        if is_created:
            self._staging.added(item)
        elif updated:
            self._staging.updated(item, updated)
        return found

    # --- synchronizing -------------------------------------------------------------------------------------------

    def sync_from(
        self,
        source: Adapter,
        diff_class: type[Diff] = Diff,
        flags: DiffSyncFlags = DiffSyncFlags.NONE,
        callback: Callable[[str, int, int], None] | None = None,
        diff: Diff | None = None,
    ) -> Diff:
        """As in DiffSync, and `result` says what came of it. What changed has been written on return. Where a hook raises, and flags do not
        say to go on, nothing is written by then, and `commit` writes what had been done before.

        Raises what `commit` does, also.
        """
        if diff_class and diff and not isinstance(diff, diff_class):
            raise DiffClassMismatch(
                f"The provided diff's class ({type(diff).__name__}) does not match the diff_class: {diff_class.__name__}"
            )
        diff = diff or self.diff_from(source, diff_class=diff_class, flags=flags, callback=callback)
        syncer = StagingSyncer(
            staging=self._staging, diff=diff, src_diffsync=source, dst_diffsync=self, flags=flags, callback=callback
        )
        self.result = syncer.result
        if syncer.perform_sync():
            self._is_due = True
            self.sync_complete(source, diff, flags, syncer.base_logger)
            if self._is_due:  # a subclass has a `sync_complete` of its own, which did not call this one's
                self.commit()
        return diff

    def sync_complete(
        self, source: Adapter, diff: Diff, flags: DiffSyncFlags = DiffSyncFlags.NONE, logger: Any = None
    ) -> None:
        """Commits."""
        super().sync_complete(source, diff, flags, logger)
        self.commit()

    def commit(self) -> None:
        """Writes what has changed since it was loaded or written last: one delta, or one transaction. Where it was not loaded from its
        place, `save`s. Nothing is written where nothing changed, or without a place.

        Raises VersionConflict; what changed can still be written then, by `rebase`. More documents than a transaction may have
        (`transaction_documents_max`) are written in several: `result.versions` says which were. Raises InvalidValue where a value has
        no JSON form, and LimitExceeded.
        """
        self._commit(self.on_conflict)

    def rebase(self) -> None:
        """Commits on top of what others have written since. Loads anew, where they have. Raises VersionConflict where they changed the same
        places: decide, `load`, and synchronize again."""
        self._commit("rebase")

    def save(self) -> None:
        """Writes all that it holds, as one minimal delta: the difference to what is there. What its models say nothing of stays as it is.

        Raises NotAttached, and VersionConflict where it was loaded, and somebody has changed that since.
        """
        place = self._where()
        contents = self._contents()
        there = self._layout.read(place, {*self._models(), *contents})
        if self._read is not None:
            _check_unmoved(place, self._read.versions, there.versions)
        self._write(self._layout.difference(place, there, contents), there.versions, "fail")
        if self._read is not None:
            self._read = Read({name: {} for name, found in contents.items() if found}, self._read.versions)
            self._staging.start()

    def compile(self, diff: Diff) -> Compiled:
        """What a synchronization of diff into this adapter writes where no hook does anything of its own. Neither this adapter nor what is
        stored changes: `apply` of an async client writes it.

        Raises InvalidRequest where this adapter was not loaded from its place.
        """
        place = self._where()
        if self._read is None:
            raise InvalidRequest(f"{self} was not loaded: what is there is not known", reason="loaded")
        changes = compile_diff(diff, self, self._loose)
        parts = self._parts(place, self._read, changes)
        return Compiled(place.branch, parts, {name: self._read.versions.get(name, 0) for name in parts})

    # --- inside --------------------------------------------------------------------------------------------------

    def _commit(self, on_conflict: OnConflict) -> None:
        self._is_due = False
        if self._place is None:
            return
        if self._read is None:
            self.save()
            return
        changes = self._staging.changes(self, self._loose)
        self._write(self._parts(self._place, self._read, changes), self._read.versions, on_conflict, changes)
        self._staging.start()

    def _parts(self, place: Place, read: Read, changes: Changes) -> Parts:
        return self._layout.parts(place, changes, read, place.client.limits.get("delta_ops_max", 10_000))

    def _write(
        self, parts: Parts, versions: dict[str, int], on_conflict: OnConflict, changes: Changes | None = None
    ) -> None:
        place, written = self._where(), Written()
        said = {"by": self.by, "description": self.description, "tags": self.tags}
        try:
            write(place, parts, versions, written, on_conflict=on_conflict, said=said)
        finally:
            self._wrote(parts, written.versions, changes or {})
        if written.is_rebased:
            PalimpsestAdapter.load(self)

    def _wrote(self, parts: Parts, made: dict[str, int], changes: Changes) -> None:
        self.result.versions = made
        self.result.version = made.get(self._where().doc)
        if self._read is None:
            return
        for name, version in made.items():
            if parts[name] is DELETE:
                self._read.versions.pop(name, None)
            else:
                self._read.versions[name] = version
        done = [key for key, name in self._layout.documents(self._where(), changes).items() if name in made]
        self._staging.written(done)
        for key in done:
            self._loose.discard(key)
            self._read.contents.setdefault(key[0], {})

    def _where(self) -> Place:
        if self._place is None:
            raise NotAttached(f"{self} has no client and no document")
        return self._place

    def _contents(self) -> dict[str, dict[str, Any]]:
        return {
            name: {item.get_unique_id(): to_record(item) for item in self.get_all(name)}
            for name in sorted(self.get_all_model_names())
        }

    def _forget(self) -> None:
        self._read = None
        self._loose = set()
        self._staging.stop()

    def _empty(self) -> None:
        for name in list(self.get_all_model_names()):
            for item in self.get_all(name):
                self.store.remove(obj=item)

    def _say(self, said: dict[str, Any]) -> None:
        unknown = said.keys() - {"by", "description", "tags", "on_conflict"}
        if unknown:
            raise InvalidRequest(f"an adapter takes no {', '.join(sorted(unknown))}", reason="arguments")
        if said.get("on_conflict", "fail") not in ("fail", "rebase"):
            raise InvalidRequest("on_conflict is fail or rebase", reason="on_conflict")
        for name, value in said.items():
            setattr(self, name, value)


@contextmanager
def _uncollected() -> Iterator[None]:
    """For as long as many objects are made that all stay: looking for garbage among them, again and again, would take most of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _make(model: type[DiffSyncModel], unique_id: str, record: Any) -> DiffSyncModel:
    item = from_record(model, record)
    if item.get_unique_id() != unique_id:
        reason = f"it stands under {unique_id!r}, and its identifiers make {item.get_unique_id()!r}"
        raise InvalidValue(f"not this {model.get_type()}: {reason}", path=f"{model.get_type()}", reason=reason)
    return item


def _check_unmoved(place: Place, read: dict[str, int], now: dict[str, int]) -> None:
    for name in sorted({*read, *now}):
        expected, actual = read.get(name, 0), now.get(name, 0)
        if expected != actual:
            raise VersionConflict(
                f"{name!r} is at version {actual}, not {expected}",
                document=name,
                branch=place.branch,
                expected=expected,
                actual=actual,
            )
