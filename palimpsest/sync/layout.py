"""Where objects are in documents: a layout.

    document     one document, {modelname: {unique id: record}}
    documents    a document for each object, doc/modelname/unique-id, whose value is its record

A layout says what there is to read and what a change comes to; it writes nothing. What a document has beside the models that are
asked for stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Literal, Protocol, TypeAlias
from urllib.parse import quote, unquote

import msgspec

from palimpsest.client import Create, SyncClient
from palimpsest.errors import DocumentNotFound, InvalidRequest, InvalidValue
from palimpsest.state import DELETE, Delta
from palimpsest.state.diff import diff
from palimpsest.state.ops import Delete, Op, Set
from palimpsest.sync.changes import Changed, Changes, Parts, Whole
from palimpsest.sync.folding import folded
from palimpsest.sync.records import Key, Record
from palimpsest.words import MAIN

LayoutName: TypeAlias = Literal["document", "documents"]

Part: TypeAlias = Any
"""Of a transaction, what becomes of a document: a `Create`, a `Delta`, or `DELETE`."""

Contents: TypeAlias = Mapping[str, Mapping[str, Record]]
"""Records by modelname, and by unique id."""


class Place(msgspec.Struct, frozen=True):
    """Where an adapter reads and writes."""

    client: SyncClient
    doc: str
    branch: str = MAIN


class Read(msgspec.Struct, frozen=True):
    """contents: of the models that were asked for; all of them are there. versions: by document; 0 for the one document of the layout
    `document` where it is not there."""

    contents: dict[str, dict[str, Any]]
    versions: dict[str, int]


class Layout(Protocol):
    def read(self, place: Place, models: Collection[str], *, version: int | None = None) -> Read:
        """Raises BranchNotFound, VersionNotFound, InvalidRequest where this layout has no such version, and InvalidValue where what is
        stored is not laid out like that."""
        ...

    def parts(self, place: Place, changes: Changes, there: Read, ops_max: int) -> dict[str, Part]:
        """By document, what changes come to. there: what was read, of which only the models count that there was anything of. ops_max: of a
        delta."""
        ...

    def difference(self, place: Place, there: Read, contents: Contents) -> dict[str, Part]:
        """What makes contents of what is there, and nothing where they are the same."""
        ...

    def documents(self, place: Place, keys: Iterable[Key]) -> dict[Key, str]:
        """Where these objects are."""
        ...


class OneDocument:
    """The layout `document`."""

    def read(self, place: Place, models: Collection[str], *, version: int | None = None) -> Read:
        try:
            found = place.client.get(place.doc, branch=place.branch, version=version)
        except DocumentNotFound:
            if version is not None:
                raise
            return Read({name: {} for name in models}, {place.doc: 0})
        value = found.copy_value()
        if not isinstance(value, dict):
            raise _not_laid_out(place.doc, "it is not a map of models")
        return Read({name: _objects(place.doc, name, value.get(name)) for name in models}, {place.doc: found.version})

    def parts(self, place: Place, changes: Changes, there: Read, ops_max: int) -> dict[str, Part]:
        new: dict[str, dict[str, Record]] = {}
        ops: list[Op] = []
        for key, changed in changes.items():
            if isinstance(changed, Whole) and key[0] not in there.contents:
                new.setdefault(key[0], {})[key[1]] = changed.record
            else:
                ops += _ops_at(key, changed)
        if new and there.versions[place.doc] == 0:
            return {place.doc: Create(new)}
        made: list[Op] = [Set((modelname,), records) for modelname, records in new.items()]
        ops = made + ops
        if len(ops) > ops_max:
            ops = folded(
                ops, {key for key, changed in changes.items() if isinstance(changed, Whole) and changed.is_new}
            )
        return {place.doc: Delta.from_ops(ops)} if ops else {}

    def difference(self, place: Place, there: Read, contents: Contents) -> dict[str, Part]:
        if there.versions[place.doc] == 0:
            return {place.doc: Create({name: dict(records) for name, records in contents.items() if records})}
        ops: list[Op] = []
        for name in sorted({*there.contents, *contents}):
            before, after = there.contents.get(name, {}), dict(contents.get(name, {}))
            if after and not before:
                ops.append(Set((name,), after))
            else:
                ops += [msgspec.structs.replace(op, path=(name, *op.path)) for op in diff(before, after)]  # type: ignore[union-attr]
        return {place.doc: Delta.from_ops(ops)} if ops else {}

    def documents(self, place: Place, keys: Iterable[Key]) -> dict[Key, str]:
        return dict.fromkeys(keys, place.doc)


class DocumentPerObject:
    """The layout `documents`."""

    def read(self, place: Place, models: Collection[str], *, version: int | None = None) -> Read:
        if version is not None:
            raise InvalidRequest(
                "a version is of one document; with a document per object, load a branch", reason="version"
            )
        contents: dict[str, dict[str, Any]] = {name: {} for name in models}
        versions: dict[str, int] = {}
        names = [name for model in models for name in place.client.list(f"{place.doc}/{model}/*", branch=place.branch)]
        for document in place.client.get_many(names, branch=place.branch):
            if document is not None:
                _, modelname, last = document.id.rsplit("/", 2)
                contents[modelname][unquoted(last)] = document.copy_value()
                versions[document.id] = document.version
        return Read(contents, versions)

    def parts(self, place: Place, changes: Changes, there: Read, ops_max: int) -> dict[str, Part]:
        return {self._name(place, key): _part(changed) for key, changed in changes.items()}

    def difference(self, place: Place, there: Read, contents: Contents) -> dict[str, Part]:
        found: dict[str, Part] = {}
        for modelname in sorted({*there.contents, *contents}):
            before, after = there.contents.get(modelname, {}), contents.get(modelname, {})
            for unique_id in sorted({*before, *after}):
                part = _between(before.get(unique_id), after.get(unique_id))
                if part is not None:
                    found[self._name(place, (modelname, unique_id))] = part
        return found

    def documents(self, place: Place, keys: Iterable[Key]) -> dict[Key, str]:
        return {key: self._name(place, key) for key in keys}

    def _name(self, place: Place, key: Key) -> str:
        return f"{place.doc}/{key[0]}/{quoted(key[1])}"


_LAYOUTS: dict[str, Callable[[], Layout]] = {"document": OneDocument, "documents": DocumentPerObject}


def make_layout(name: str) -> Layout:
    """Raises InvalidRequest."""
    if name not in _LAYOUTS:
        raise InvalidRequest(f"no such layout: {name!r}; there is {' and '.join(_LAYOUTS)}", reason="layout")
    return _LAYOUTS[name]()


def _ops_at(key: Key, changed: Changed) -> list[Op]:
    if isinstance(changed, Whole):
        return [Set(key, changed.record)]
    if isinstance(changed, Parts):
        return [msgspec.structs.replace(op, path=(*key, *op.path)) for op in changed.ops]  # type: ignore[union-attr]
    return [Delete(key)]


def _part(changed: Changed) -> Part:
    if isinstance(changed, Whole):
        return Create(changed.record) if changed.is_new else Delta.from_ops([Set((), changed.record)])
    return Delta.from_ops(changed.ops) if isinstance(changed, Parts) else DELETE


def _between(before: Any, after: Record | None) -> Part | None:
    if after is None:
        return DELETE
    if before is None:
        return Create(after)
    ops = diff(before, after)
    return Delta.from_ops(ops) if ops else None


def _objects(doc: str, modelname: str, found: Any) -> dict[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _not_laid_out(doc, f"{modelname!r} is not a map of objects")
    return found


def _not_laid_out(doc: str, reason: str) -> InvalidValue:
    return InvalidValue(f"{doc!r} holds no objects: {reason}", path="", reason=reason)


# --- unique ids as one segment of a name ------------------------------------------------------------------------------

_EMPTY = "%"
"""For the unique id that is empty. Nothing that is quoted ends in `%`."""


def quoted(unique_id: str) -> str:
    found = quote(unique_id, safe=" :@+,;=()[]") or _EMPTY
    return found.replace(".", "%2E") if found in (".", "..") else found


def unquoted(segment: str) -> str:
    return "" if segment == _EMPTY else unquote(segment)
