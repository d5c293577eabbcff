"""Every bound, with its unit in its name and the error that speaks of it."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a server. A client learns those that concern it from the server's welcome.

    What exceeds one is refused with `LimitExceeded` (documents and deltas), `FrameTooLarge` (frames), `Overloaded`
    (mailboxes, subscriptions) or `TooManyConnections`; the error names the setting.
    """

    frame_bytes_max: int = 16 * 1024 * 1024
    document_bytes_max: int = 8 * 1024 * 1024
    """Of a document's encoded value."""
    depth_max: int = 64
    """Containers inside containers; a scalar has depth 0, and `[[]]` has depth 2."""
    delta_ops_max: int = 10_000
    name_bytes_max: int = 512
    """Of a document name, branch name or pattern, as UTF-8."""
    meta_bytes_max: int = 65_536
    """Of a version's author, description and tags together, as characters."""
    meta_tags_max: int = 100
    request_id_characters_max: int = 256
    """Of a request id of the caller's own, which is kept with its version."""
    mailbox_items_max: int = 8_192
    """Commands of one document branch that are not answered yet."""
    batch_events_max: int = 16_384
    batch_bytes_max: int = 4 * 1024 * 1024
    """How much gathers for one commit, measured before it is encoded; what comes after waits in its mailbox."""
    transaction_documents_max: int = 1_000
    branches_max: int = 10_000
    """Of one document, the deleted ones included."""
    merge_conflicts_max: int = 10_000
    """Of one merge, in all of its documents."""
    page_items_max: int = 1_000
    """Of names, versions or documents in one answer; a client asks for the next page."""
    connections_max: int = 10_000
    connection_out_bytes_max: int = 4 * 1024 * 1024
    """What waits to be sent on one connection before the server stops reading from it."""
    subscriptions_per_connection_max: int = 10_000
    subscription_bytes_max: int = 1024 * 1024
    """What is on its way to one subscriber and not yet credited; beyond it, the subscriber is served from the log."""
    view_cache_bytes_max: int = 64 * 1024 * 1024
    """Of encoded views that are kept, of all perspectives together."""
    unacked_changes_max: int = 1_000
    """Of one named subscription, not acknowledged yet; beyond it, no more are read for it until some are."""
    dead_letters_max: int = 1_000
    """Of one named subscription; beyond it, what fails too often is tried again, late, instead of being put aside."""
    tail_bytes_max: int = 512 * 1024 * 1024
    """What is durable and not archived yet; beyond it, writes are refused as `Overloaded` until the archiver catches up."""
    awake_bytes_max: int = 1024 * 1024 * 1024
    """Estimated memory of awake documents; beyond it, the least recently used are put to sleep."""
    awake_idle_seconds: float = 300.0
    prune_interval_seconds: float = 3600.0
    """How often the policies of retention are honoured; the first time that long after the start."""
    hello_seconds: float = 10.0
    """How long a peer may take to say hello."""
    peer_silence_seconds: float = 60.0
    """How long a peer may be silent before it is taken for dead; clients ping three times as often."""
    shutdown_seconds: float = 10.0
    """How long a graceful shutdown waits for peers to take their answers."""


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a gateway. Those of the server behind it hold as well: what passes here may be refused there.

    What exceeds one is answered by a status of HTTP, as is said of each.
    """

    body_bytes_max: int = 16 * 1024 * 1024
    """Of a request; beyond it, the answer is 413."""
    bodies_bytes_max: int = 256 * 1024 * 1024
    """Of all requests that are being done; beyond it, the answer is 503."""
    body_seconds: float = 60.0
    """How long the body of a request may take to come; beyond it, the answer is 408."""
    head_bytes_max: int = 64 * 1024
    """Of a request's first line and headers; beyond it, the answer is 431."""
    head_seconds: float = 20.0
    """How long a connection may take until a request's headers are there; beyond it, it is closed."""
    connections_max: int = 10_000
    """Of HTTP, event streams among them; beyond it, the answer is 503."""
    callers_max: int = 1_000
    """Tokens whose connection to the server is kept open. The least recently used is closed for another; where all are in use, the answer is 503."""
    openings_max: int = 16
    """Connections to the server that are being opened at a time; beyond four times as many that wait, the answer is 503."""
    page_items_max: int = 1_000
    """Of names or versions in one answer; the rest are on the next page."""
    page_bytes_max: int = 8 * 1024 * 1024
    """Of values or deltas in one answer, about: a page ends with the item that goes beyond it."""
    event_queue_bytes_max: int = 1024 * 1024
    """What is on its way to one reader of an event stream; beyond it, the reader is served from the log until it has caught up."""
    event_frames_bytes_max: int = 4 * 1024 * 1024
    """Of encoded events that are kept for the other readers of the same changes; beyond it, the oldest are forgotten, and encoded again if
    somebody wants them."""
    keep_alive_seconds: float = 15.0
    """How often a silent event stream says that it is alive, in a comment."""
    shutdown_seconds: float = 5.0
    """How long stopping waits for requests under way, in whole seconds and for one at least; beyond it, they are cut off."""
