from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_kit import event

from palimpsest.errors import StoreCorrupt
from palimpsest.storage.events import GENESIS, Event, chain_digest, decode_events, encode_events
from palimpsest.words import Meta

OLDEST = bytes.fromhex(
    "919a a3612f62 a46d61696e 03 01 cf0005af3107a40000 91930091a16107 a163 05 c0 c0".replace(" ", "")
)
"""An event as the first release wrote it, before any field was added."""


def test_what_was_ever_written_still_decodes() -> None:
    (found,) = decode_events(OLDEST)
    assert (found.document, found.branch, found.version, found.kind, found.at) == (
        "a/b",
        "main",
        3,
        1,
        1_600_000_000_000_000,
    )
    assert (bytes(found.delta), found.origin, found.request) == (bytes.fromhex("91930091a16107"), "c", 5)
    assert (found.meta, found.key, found.more) == (None, None, 0)


@given(
    st.lists(
        st.builds(
            event,
            document=st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
            version=st.integers(1, 2**63),
            request=st.integers(0, 2**64 - 1),
            key=st.none() | st.text("k", max_size=3),
            meta=st.none() | st.builds(Meta, st.none() | st.text("b", max_size=3)),
            more=st.integers(0, 3),
        ),
        max_size=4,
    )
)
def test_events_come_back_as_they_were(events: list[Event]) -> None:
    assert decode_events(encode_events(events)) == events


@pytest.mark.parametrize(
    "body", [b"", b"\x91", b"\xc0", b"\x91\x90", encode_events([event()])[:-1], encode_events([event()]) + b"\x00"]
)
def test_what_is_no_list_of_events_is_corrupt(body: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        decode_events(body)


def test_the_digest_is_over_the_one_before_the_place_and_the_body() -> None:
    written_out = GENESIS + (7).to_bytes(8, "big") + (2).to_bytes(8, "big") + b"body"
    assert chain_digest(GENESIS, 7, 2, b"body") == hashlib.sha256(written_out).digest()
