"""What client and server say to each other: one struct a message, one integer tag each, encoded as msgpack arrays.

`docs/protocol.md` says the same byte by byte. Deltas and values travel as `Raw`: msgpack inside the message whose meaning
belongs to `state`, so that a bad value is an error of its request and not of the connection. Fields are only ever added at
the end, with a default; tags are never used again.

`id` is the client's number of a request: rising by at least one with each, unique for a client id across its connections. The
pair (client id, id) is the request id that makes a write safe to repeat, unless the request carries a `key` of its own.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Raw

from palimpsest.counting import HistogramData
from palimpsest.words import MAIN, Meta, Node, Parents

PROTOCOL_NEWEST = 1
PROTOCOL_OLDEST = 1


Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""What counts something. Both bounds are checked where a message is decoded: anything else is a malformed frame."""

Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What every database and language holds. Whether it makes sense is for the request to say."""


class Message(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """The base of all messages."""


# --- from client to server ---------------------------------------------------------------------------------------


class Hello(Message, frozen=True, tag=0):
    """The first message, alone in its frame. A newer connection with the same client id ends the older one, unless `attempt` says
    that it is the older one itself."""

    magic: str
    """Always "palimpsest"."""
    oldest: Integer
    newest: Integer
    """The protocol versions that the client speaks."""
    client: str
    """The client id: 1 to 64 characters, unique to this client, kept across its reconnections."""
    features: tuple[str, ...] = ()
    token: str | None = None
    agent: str = ""
    """Name and release of the client's software, for the log."""
    attempt: Number = 0
    """Rises with each attempt of the client id to connect, across restarts, too, so that a hello that was delayed on its way cannot end
    the connection that came after it. 0: the client does not count."""


class Ping(Message, frozen=True, tag=1):
    id: Number


Step = str | int
"""Of a path: a key, or an index of a list."""


class Place(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """Which version of a document. At most one of version, at and tag is given; none: the newest.

    at: microseconds since the epoch; the last version that was made then or before. tag: the newest version that has it.
    """

    branch: str = MAIN
    version: Integer | None = None
    at: Integer | None = None
    tag: str | None = None


class Update(Message, frozen=True, tag=2):
    """Answered by `Committed`. delta: an array of ops."""

    id: Number
    document: str
    delta: Raw
    branch: str = MAIN
    expect: Integer | None = None
    """The version that the document must have."""
    repeat: bool = False
    """The request may have been sent before: it is looked up before it is applied."""
    meta: Meta | None = None
    key: str | None = None
    """A request id of the caller's own, in place of (client id, id); always looked up."""


class Create(Message, frozen=True, tag=3):
    """Answered by `Committed`. The document must not exist."""

    id: Number
    document: str
    value: Raw
    branch: str = MAIN
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None


class Delete(Message, frozen=True, tag=4):
    """Answered by `Committed`."""

    id: Number
    document: str
    branch: str = MAIN
    expect: Integer | None = None
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None


GUARD = 4
"""In place of a `Kind`: nothing is made, and the whole depends on the version that the document has."""


class Part(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One document's share of a transaction. `kind` as in `Kind`, or GUARD, which needs `expect`; `body`: value of a create, delta of an
    update, nil of the others.

    base: the branch is made from there, where the document does not have it. merged: the versions that this one takes in, as a merge
    that was done elsewhere does.
    """

    kind: Integer
    document: str
    body: Raw
    branch: str = MAIN
    expect: Integer | None = None
    base: tuple[str, Integer] | None = None
    merged: tuple[tuple[str, Integer], ...] = ()


class Transact(Message, frozen=True, tag=5):
    """Answered by `Transacted`: all parts or none. No document branch twice.

    at: when it happened, where that was earlier and elsewhere, in microseconds since the epoch; what lies in the future is now.
    A version is never older than the one before it: it takes that one's time then.
    """

    id: Number
    parts: tuple[Part, ...]
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None
    at: Integer | None = None


class Get(Message, frozen=True, tag=6):
    """Answered by `Document`. version, at, tag: as in `Place`."""

    id: Number
    document: str
    branch: str = MAIN
    version: Integer | None = None
    at: Integer | None = None
    tag: str | None = None


class GetMany(Message, frozen=True, tag=7):
    """Answered by `Documents`, in the order asked; what does not exist is nil."""

    id: Number
    documents: tuple[str, ...]
    branch: str = MAIN


class List(Message, frozen=True, tag=8):
    """Answered by `Names`: names that exist, match `pattern` and come after `after`, in the order of their code points."""

    id: Number
    pattern: str
    branch: str = MAIN
    after: str = ""
    limit: Integer = 1_000
    deleted: bool = False
    """Those that are deleted, too."""


class History(Message, frozen=True, tag=9):
    """Answered by `Versions`. Versions from `first` to `last`, both included; None: the oldest, the newest.

    Of these, the ones that meet every condition given: since, until: made from then on, and until then, both included.
    by: the author. tags: any of them; tags_all: every one. path: something at it, above it or inside it was touched.
    """

    id: Number
    document: str
    branch: str = MAIN
    first: Integer | None = None
    last: Integer | None = None
    newest_first: bool = True
    limit: Integer = 100
    since: Integer | None = None
    until: Integer | None = None
    by: str | None = None
    tags: tuple[str, ...] = ()
    tags_all: tuple[str, ...] = ()
    path: tuple[Step, ...] | None = None


class Subscribe(Message, frozen=True, tag=10):
    """Answered by `Subscribed`, then by `Change`s and `Marker`s until `Ended`.

    subscription: a number of the client's choice, unique on its connection. credit_bytes: how many bytes of changes may be under way;
    topped up by `Credit`.

    At most one of resume_after, snapshot, from_version and from_time says where it starts; none: from now on. resume_after: a cursor.
    snapshot: what is there now comes first, a `Change` with `snapshot` for each document, and then a `Marker` of state "current".
    from_version: of the one document that pattern names. from_time: in microseconds since the epoch, by the server's clock.

    Of the changes, those that meet every condition given are sent, as in `History`; kinds: any of them. policy: what becomes of a
    subscriber that does not keep up: "all", everything is sent, later; "latest", what a newer version of its document has overtaken is
    left out, which needs `values`; "disconnect", the subscription ends.

    name: of a durable subscription that is shared: this is one of its workers, and gets some of its changes, each to be answered by `Ack` or
    `Nack` within ack_seconds of when it was sent, or of when it became the first of its document; else another gets it. A change
    that failed tries_max times is put aside. At most unacked_max changes are with this worker at once. Where the name is new, it is
    made, and starts as is said; where it is not, pattern, branch and conditions have to be the same, and its own place counts.
    """

    id: Number
    subscription: Number
    pattern: str
    branch: str = MAIN
    resume_after: str | None = None
    credit_bytes: Number = 1024 * 1024
    values: bool = False
    """Send the whole value with each change."""
    snapshot: bool = False
    from_version: Integer | None = None
    from_time: Integer | None = None
    tags: tuple[str, ...] = ()
    tags_all: tuple[str, ...] = ()
    by: str | None = None
    path: tuple[Step, ...] | None = None
    kinds: tuple[Integer, ...] = ()
    policy: str = "all"
    name: str | None = None
    ack_seconds: float = 30.0
    tries_max: Integer = 5
    unacked_max: Integer = 16


class Credit(Message, frozen=True, tag=11):
    """Not answered. credit_bytes: added to what the subscription may have under way."""

    subscription: Number
    credit_bytes: Number


class Unsubscribe(Message, frozen=True, tag=12):
    """Answered by `Ended` with code ""."""

    subscription: Number


class Entry(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One version in a history."""

    version: int
    kind: int
    at: int
    delta: Raw
    meta: Meta | None = None
    request: str | None = None
    """The request id: "client:number", or the caller's own key."""
    branch: str = ""
    """Where it was made; "": on the branch that was asked about."""
    parents: Parents | None = None


class Diff(Message, frozen=True, tag=13):
    """Answered by `Differences`: what turns the value at `a` into the value at `b`."""

    id: Number
    document: str
    a: Place
    b: Place


class Blame(Message, frozen=True, tag=14):
    """Answered by `Blamed`: which version last set what is at `path` and inside of it, as of `place`."""

    id: Number
    document: str
    place: Place = Place()
    path: tuple[Step, ...] = ()


class Revert(Message, frozen=True, tag=15):
    """Answered by `Committed`: a new version whose value is that of `to`. A document that is deleted is created again.

    dry_run: nothing is done, and the answer is `Differences`: from the newest version to the one that would be made, whose delta it has.
    """

    id: Number
    document: str
    to: Place
    branch: str = MAIN
    expect: Integer | None = None
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None
    dry_run: bool = False


class Undo(Message, frozen=True, tag=16):
    """Answered by `Committed`: a new version without what `version` did, and with all that came after it. dry_run: as of a `Revert`;
    the delta is empty where the document would be deleted."""

    id: Number
    document: str
    version: Integer
    branch: str = MAIN
    expect: Integer | None = None
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None
    dry_run: bool = False


class Label(Message, frozen=True, tag=17):
    """Answered by `Committed`, whose version is that of the document's record. `version` has the tags `add` from now on, and
    `remove` no longer, whether they were given when it was made or afterwards."""

    id: Number
    document: str
    version: Integer
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    branch: str = MAIN
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None


class Digest(Message, frozen=True, tag=18):
    """Answered by `Digested`."""

    id: Number
    document: str
    place: Place = Place()


class Erase(Message, frozen=True, tag=19):
    """Answered by `Committed`, once what is at `path` is gone from every version and from the files. path: `*` stands for
    every key and every index; (): the whole document, with all its branches."""

    id: Number
    document: str
    path: tuple[Step, ...]
    branch: str = MAIN
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None


class Retain(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What is kept: a version that is among the newest `versions`, or younger than `seconds`, or has a tag that matches one of
    `tags` (`*` stands for any characters); the newest always. bytes_max: of a document; beyond it the oldest go all the same,
    but for those that are tagged so. Where none of versions, seconds and bytes_max is given, everything is kept."""

    versions: Integer | None = None
    seconds: Integer | None = None
    bytes_max: Integer | None = None
    tags: tuple[str, ...] = ("*",)


class Prune(Message, frozen=True, tag=20):
    """Answered by `Pruned`, with `Progress` before it. retain: None for the policies under `$system/retention/`."""

    id: Number
    pattern: str
    branch: str = MAIN
    retain: Retain | None = None
    dry_run: bool = True


class Measure(Message, frozen=True, tag=21):
    """Answered by `Measured`: what documents take."""

    id: Number
    pattern: str
    branch: str = MAIN
    largest: Integer = 20
    """How many documents are named, the largest first."""


class Backup(Message, frozen=True, tag=22):
    """Answered by `Saved`, with `Progress` before it. path: a directory on the server's machine that does not exist yet."""

    id: Number
    path: str


class Import(Message, frozen=True, tag=23):
    """Answered by `Imported`: versions of a document branch as they were elsewhere, with their times and authors.

    entries: rising, as `Versions` gives them; those that are there already are passed over. Where one does not follow the one
    before it, its delta sets the whole value.
    """

    id: Number
    document: str
    entries: tuple[Entry, ...]
    branch: str = MAIN


class Branch(Message, frozen=True, tag=24):
    """Answered by `Branches`, with the one that was made. It starts from the version at `at`, and goes on with the next number.

    pattern: a document; or a pattern of many: then each document gets the branch when it is first written to, from the newest version
    that it has then on the branch of `at`, which must say no more than a branch; reads of what it does not have fall back to that.
    """

    id: Number
    pattern: str
    name: str
    at: Place = Place()
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None


class DeleteBranch(Message, frozen=True, tag=25):
    """Answered by `Branches`, with those that are deleted. Their versions stay, and can be asked for by number. pattern: as in `Branch`."""

    id: Number
    pattern: str
    name: str
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None


class ListBranches(Message, frozen=True, tag=26):
    """Answered by `Branches`: of all documents that match, by name, after `after`; `main` is named where there are others, or where
    pattern is the name of a document.

    limit: of documents. deleted: the deleted ones, too.
    """

    id: Number
    pattern: str
    after: str = ""
    limit: Integer = 1_000
    deleted: bool = False


class Merge(Message, frozen=True, tag=27):
    """Answered by `Merged`: what happened on the branch of `source` up to there, and not on `into`, happens on `into`, too.

    pattern: a document, or a pattern: of all documents that have the source branch, all or none. rules: by path pattern, as in
    `state.rules`. squash: the version has one parent, and a later merge does not know of this one.
    """

    id: Number
    pattern: str
    source: Place
    into: str = MAIN
    rules: dict[str, str] = {}
    dry_run: bool = False
    squash: bool = False
    expect: Integer | None = None
    """The version that `into` must have; of a pattern, none."""
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None


class Pick(Message, frozen=True, tag=28):
    """Answered by `Merged`: what one version did is done on `into`, too, under the same author, reason and tags where none are given."""

    id: Number
    document: str
    version: Place
    into: str = MAIN
    rules: dict[str, str] = {}
    dry_run: bool = False
    expect: Integer | None = None
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None


class Rebase(Message, frozen=True, tag=29):
    """Answered by `Merged`, with one part for each version: a branch starts from another version from now on, and its own versions
    are made again there, each now, under its author, reason and tags. The old ones stay, as those of a deleted branch do."""

    id: Number
    document: str
    branch: str
    onto: Place | None = None
    """None: the newest version of the branch that it was made from."""
    rules: dict[str, str] = {}
    dry_run: bool = False
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None


class Resolution(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """take: "ours", "theirs", "base", "value", or "absent": there is to be nothing. document: None for all that have a conflict there."""

    path: tuple[Step, ...]
    take: str
    value: Raw = Raw(b"\xc0")
    document: str | None = None


class Resolve(Message, frozen=True, tag=30):
    """Answered by `Merged`: the pending merge with these resolutions added; it is committed where no conflict is left."""

    id: Number
    merge: str
    resolutions: tuple[Resolution, ...]
    repeat: bool = False
    meta: Meta | None = None
    """In place of what was said when the merge was begun."""
    key: str | None = None


class Abandon(Message, frozen=True, tag=31):
    """Answered by `Committed`: the pending merge is given up; nothing of it has happened."""

    id: Number
    merge: str
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None


class GetMerge(Message, frozen=True, tag=32):
    """Answered by `Merged`: a pending merge as of the newest versions, with the conflicts that are left."""

    id: Number
    merge: str


class ListMerges(Message, frozen=True, tag=33):
    """Answered by `Merges`: those that are pending and concern a document that matches, by id, after `after`."""

    id: Number
    pattern: str = "**"
    after: str = ""
    limit: Integer = 1_000


Viewed = Update | Create | Delete | Transact | Get | GetMany | List | History | Subscribe | Diff | Blame
"""What can be asked through a perspective."""


class Through(Message, frozen=True, tag=40):
    """A request, answered as it would be, but in the words of a perspective: by its name; or, with a level, of that level of the family
    of that name. Documents that the perspective is not for do not exist."""

    perspective: str
    level: Integer | None
    request: Viewed

    @property
    def id(self) -> int:
        return self.request.id


class Ack(Message, frozen=True, tag=34):
    """Answered by `Acknowledged` once it is durable: the changes at these positions are dealt with, whoever had them. What is so already
    stays so. epoch: of the journal that the positions are of; "" is not looked at."""

    id: Number
    name: str
    positions: tuple[Number, ...]
    epoch: str = ""


class Nack(Message, frozen=True, tag=35):
    """Answered by `Acknowledged` at once: the change has failed, and is delivered again, with those of its document after it, at
    once or after delay_seconds; or it is put aside, where it has failed often enough. What of these is sent after the answer is
    sent again. reason: for whoever looks at it then."""

    id: Number
    name: str
    position: Number
    reason: str = ""
    delay_seconds: float = 0.0
    epoch: str = ""


class ListSubscriptions(Message, frozen=True, tag=36):
    """Answered by `Subscriptions`: the named one, with its dead letters; or all, by name, after `after`, without theirs."""

    id: Number
    name: str | None = None
    after: str = ""
    limit: Integer = 1_000


class DeleteSubscription(Message, frozen=True, tag=37):
    """Answered by `Committed`. Its workers' subscriptions end with `subscription_not_found`."""

    id: Number
    name: str
    repeat: bool = False
    meta: Meta | None = None
    key: str | None = None


class Redrive(Message, frozen=True, tag=38):
    """Answered by `Acknowledged` once it is durable: dead letters are delivered again, those at `positions`, or all where none is
    given. They stay dead letters until they are acknowledged."""

    id: Number
    name: str
    positions: tuple[Number, ...] = ()


class Observe(Message, frozen=True, tag=41):
    """Answered by `Observed`. subscribers: how many subscriptions are named, those that are furthest behind."""

    id: Number
    subscribers: Integer = 20


Request = (
    Hello
    | Ping
    | Update
    | Create
    | Delete
    | Transact
    | Get
    | GetMany
    | List
    | History
    | Subscribe
    | Credit
    | Unsubscribe
    | Diff
    | Blame
    | Revert
    | Undo
    | Label
    | Digest
    | Erase
    | Prune
    | Measure
    | Backup
    | Import
    | Branch
    | DeleteBranch
    | ListBranches
    | Merge
    | Pick
    | Rebase
    | Resolve
    | Abandon
    | GetMerge
    | ListMerges
    | Through
    | Ack
    | Nack
    | ListSubscriptions
    | DeleteSubscription
    | Redrive
    | Observe
)


# --- from server to client ---------------------------------------------------------------------------------------


class Welcome(Message, frozen=True, tag=0):
    """The answer to a hello. limits: the settings that concern a client, by name. principal: who the client is, by its token or certificate."""

    protocol: int
    epoch: str
    """Of the journal: a cursor of another epoch means nothing here."""
    features: tuple[str, ...] = ()
    limits: dict[str, int] = {}
    agent: str = ""
    principal: str = ""


class Pong(Message, frozen=True, tag=1):
    id: int


class Committed(Message, frozen=True, tag=2):
    """The version that a write made, durable. repeat: it was made by an earlier sending of the same request."""

    id: int
    version: int
    at: int
    repeat: bool = False


class Made(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One version that a transaction made."""

    document: str
    branch: str
    version: int


class Transacted(Message, frozen=True, tag=3):
    """In the order of the parts."""

    id: int
    at: int
    made: tuple[Made, ...]
    repeat: bool = False


class Document(Message, frozen=True, tag=4):
    """A document as of `version`: `kind`, `at` and `meta` are that version's."""

    id: int
    document: str
    branch: str
    version: int
    kind: int
    at: int
    value: Raw
    meta: Meta | None = None


class Documents(Message, frozen=True, tag=5):
    id: int
    documents: tuple[Document | None, ...]
    """Each with the id of the request."""


class Names(Message, frozen=True, tag=6):
    """more: ask again, after the last of these."""

    id: int
    names: tuple[str, ...]
    more: bool


class Versions(Message, frozen=True, tag=7):
    """more: there may be others: ask again from `next` on. With conditions a page may be empty and not the last.

    oldest: from there on no version is missing; 0 where that is not said.
    """

    id: int
    entries: tuple[Entry, ...]
    more: bool
    newest: int
    next: int = 0
    """The version to go on from: as `last` where the newest come first, else as `first`."""
    oldest: int = 0


class Subscribed(Message, frozen=True, tag=8):
    """cursor: the place from which changes follow."""

    id: int
    subscription: int
    cursor: str


class Change(Message, frozen=True, tag=9):
    """One version, to every subscription of this connection that it concerns.

    position: in the journal; with the epoch it makes the cursor. more: how many changes of the same transaction follow.
    """

    subscriptions: tuple[int, ...]
    position: int
    document: str
    branch: str
    version: int
    kind: int
    at: int
    delta: Raw
    meta: Meta | None = None
    more: int = 0
    value: Raw = Raw(b"\xc0")
    parents: Parents | None = None
    snapshot: bool = False
    """It is there already, as this version: nothing changed. Its delta is empty, and its position the one that changes follow."""
    tries: int = 0
    """Which delivery this is to a worker of a named subscription, from 1 on; 0 for others."""


class Marker(Message, frozen=True, tag=10):
    """state: "live" once all that was in the log has been sent, and now and then while nothing happens; "behind" when changes are read
    from the log again; "current" once what was there has been sent."""

    subscription: int
    state: str
    cursor: str


class Ended(Message, frozen=True, tag=11):
    """The subscription is over. code: "" when the client asked for it."""

    subscription: int
    code: str
    message: str
    data: dict[str, Any]


class Failed(Message, frozen=True, tag=12):
    """The answer to a request that was refused or failed."""

    id: int
    code: str
    message: str
    data: dict[str, Any]


class Goodbye(Message, frozen=True, tag=13):
    """The server closes the connection after this."""

    code: str
    message: str
    data: dict[str, Any]


class Differences(Message, frozen=True, tag=14):
    """a, b: the versions that were compared."""

    id: int
    a: int
    b: int
    delta: Raw


class Blamed(Message, frozen=True, tag=15):
    """Every path that holds a scalar, an empty map or an empty list, in the order of the value, with its place in `entries`.

    entries: the versions, newest first; their deltas are left out. exact: False where history does not reach back far enough:
    what the oldest of entries is named for was set by it or before it.
    """

    id: int
    version: int
    paths: tuple[tuple[tuple[Step, ...], int], ...]
    entries: tuple[Entry, ...]
    exact: bool


class Digested(Message, frozen=True, tag=16):
    """The stream's digest as of `version`: 32 bytes that prove it and all that came before it."""

    id: int
    document: str
    branch: str
    version: int
    digest: bytes


class Share(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One document's part of something: how many events, and about how many bytes of storage."""

    document: str
    events: int
    bytes: int


class Pruned(Message, frozen=True, tag=17):
    """What was pruned, or would be. largest: the documents with most to give back, the largest first. documents, events,
    bytes: of all."""

    id: int
    documents: int
    events: int
    bytes: int
    largest: tuple[Share, ...]
    dry_run: bool


class Measured(Message, frozen=True, tag=18):
    """documents: that exist; deleted: those whose history alone is left. versions: that were ever made; events: that are
    kept. bytes: of storage, roughly, snapshots included."""

    id: int
    documents: int
    deleted: int
    versions: int
    events: int
    snapshots: int
    bytes: int
    largest: tuple[Share, ...]
    """The documents that take most, the largest first."""


class Saved(Message, frozen=True, tag=19):
    """A backup that is complete: everything before `position` is in it."""

    id: int
    path: str
    position: int
    bytes: int


class Imported(Message, frozen=True, tag=20):
    """version: the newest there is now. made: how many were added."""

    id: int
    version: int
    made: int


class Progress(Message, frozen=True, tag=21):
    """A request goes on: done of total, or of an unknown number where that is 0. Its answer is still to come."""

    id: int
    done: int
    total: int


class BranchInfo(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One branch. document: a name, or the pattern that it was made for. base: the version that it starts from; None for `main`; of a
    pattern, the branch and 0. head: its newest version; of a pattern, 0. at, meta: when it was made, by whom and why; 0 where that
    is not known."""

    document: str
    branch: str
    base: Node | None
    head: int
    at: int
    meta: Meta | None = None
    deleted: bool = False


class Branches(Message, frozen=True, tag=22):
    """more: ask again, after the last document of these."""

    id: int
    branches: tuple[BranchInfo, ...]
    more: bool = False


class ConflictData(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """As `state.conflicts.Conflict`. base, ours, theirs: the encoded value; () where there is nothing, and where values are left out."""

    path: tuple[Step, ...]
    kind: str
    base: tuple[Raw, ...] = ()
    ours: tuple[Raw, ...] = ()
    theirs: tuple[Raw, ...] = ()


class MergedPart(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One document's part of a merge; of a rebase, one version's.

    source, into: the versions that were merged, into as it was before. base: the common ancestor that was taken. bases: all nearest common
    ancestors, where there is more than one, as after merges in both directions at once; then the newest of them is taken. outcome:
    "merged"; "fast_forward": nothing had happened on into since base; "up_to_date": nothing was to be merged; "conflicts".
    version: that was made; None where none was. delta: what turns into's value into the merged one, open conflicts aside.
    """

    document: str
    source: Node
    into: Node
    base: Node | None
    outcome: str
    version: int | None
    delta: Raw
    conflicts: tuple[ConflictData, ...] = ()
    settled: int = 0
    """How many conflicts were decided: by a rule that takes a side, a resolver, or a resolution."""
    bases: tuple[Node, ...] = ()
    left_out: bool = False
    """The values of conflicts are left out, because they do not fit into a frame."""


class Merged(Message, frozen=True, tag=23):
    """merge: the id of the pending merge, where there are conflicts and it is no dry run. at: when it was committed; 0: it was not.
    kind: "merge", "pick" or "rebase"."""

    id: int
    parts: tuple[MergedPart, ...]
    merge: str | None = None
    at: int = 0
    dry_run: bool = False
    repeat: bool = False
    kind: str = "merge"


class PendingMerge(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """kind: "merge", "pick" or "rebase". source, into: branches. documents: that have conflicts, with how many are open as of when it
    was last looked at. at, meta: when it was begun, by whom and why."""

    merge: str
    kind: str
    source: str
    into: str
    documents: dict[str, int]
    at: int
    meta: Meta | None = None


class Merges(Message, frozen=True, tag=24):
    """more: ask again, after the last of these."""

    id: int
    merges: tuple[PendingMerge, ...]
    more: bool = False


class DeadLetter(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A change that was put aside. tries: how often it was delivered. reason: of the last failure. again: it is being delivered again."""

    position: int
    document: str
    branch: str
    version: int
    tries: int
    reason: str
    again: bool = False


class Acknowledged(Message, frozen=True, tag=25):
    """cursor: everything up to there is dealt with. taken_back: of a Nack: what it says has happened; otherwise the worker had not got the
    change any more, and nothing has."""

    id: int
    name: str
    cursor: str
    taken_back: bool = False


class SubscriptionInfo(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A named subscription. cursor: everything up to there is dealt with. lag: how many events of the log come after that, of whatever
    documents. workers: that are connected. in_flight: changes that they have. dead: how many dead letters there are, of
    which `letters` may be left out."""

    name: str
    pattern: str
    branch: str
    cursor: str
    lag: int
    workers: int
    in_flight: int
    dead: int
    letters: tuple[DeadLetter, ...] = ()


class Subscriptions(Message, frozen=True, tag=26):
    """more: ask again, after the last of these."""

    id: int
    items: tuple[SubscriptionInfo, ...]
    more: bool = False


class SubscriberInfo(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A subscription without a name. client, principal: of its connection. state: "live", "behind", "starting" or "showing". lag: how many events
    of the log were not looked at for it, of whatever documents. under_way_bytes: that were sent, and not credited again. perspective:
    what it sees documents through."""

    client: str
    principal: str
    pattern: str
    branch: str
    state: str
    lag: int
    under_way_bytes: int
    perspective: str | None = None


class Observed(Message, frozen=True, tag=27):
    """The server as of `at`; what is counted, is counted since `started_at`, both in microseconds since the epoch.

    counters only rise; gauges rise and fall; each by name. requests: by the kind of message. refusals: of requests and connections, by error
    code. subscribers: those that are furthest behind, the furthest first; named: the same of named subscriptions.
    """

    id: int
    epoch: str
    agent: str
    started_at: int
    at: int
    counters: dict[str, int]
    gauges: dict[str, float]
    histograms: dict[str, HistogramData]
    requests: dict[str, int]
    refusals: dict[str, int]
    subscribers: tuple[SubscriberInfo, ...] = ()
    named: tuple[SubscriptionInfo, ...] = ()


Response = (
    Welcome
    | Pong
    | Committed
    | Transacted
    | Document
    | Documents
    | Names
    | Versions
    | Subscribed
    | Change
    | Marker
    | Ended
    | Failed
    | Goodbye
    | Differences
    | Blamed
    | Digested
    | Pruned
    | Measured
    | Saved
    | Imported
    | Progress
    | Branches
    | Merged
    | Merges
    | Acknowledged
    | Subscriptions
    | Observed
)
