from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from storage_kit import SALT, event

from palimpsest.errors import StoreCorrupt
from palimpsest.storage.events import (
    GENESIS,
    Event,
    chain_digest,
    check_bytes,
    commitment,
    decode_body,
    decode_events,
    encode_events,
    event_salt,
    link,
)
from palimpsest.words import Meta, Parents

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
    assert decode_events(encode_events(events, SALT)) == events


@pytest.mark.parametrize(
    "body",
    [b"", b"\x91", b"\xc0", b"\x91\x90", encode_events([event()], SALT)[:-1], encode_events([event()], SALT) + b"\x00"],
)
def test_what_is_no_list_of_events_is_corrupt(body: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        decode_events(body)


def test_the_digest_is_over_the_one_before_the_place_and_the_body() -> None:
    written_out = GENESIS + (7).to_bytes(8, "big") + (2).to_bytes(8, "big") + b"body"
    assert chain_digest(GENESIS, 7, 2, b"body") == hashlib.sha256(written_out).digest()


def test_a_batch_has_its_salt_and_one_of_the_first_release_none() -> None:
    assert decode_body(encode_events([event()], SALT)) == (SALT, [event()])
    assert decode_body(OLDEST) == (b"", decode_events(OLDEST))


def test_each_event_has_a_salt_of_its_own() -> None:
    written_out = hashlib.sha256(SALT + (7).to_bytes(8, "big")).digest()[:16]
    assert event_salt(SALT, 7) == written_out
    assert event_salt(b"", 7) == b""


def test_a_commitment_is_to_every_field_behind_the_salt() -> None:
    (oldest,) = decode_events(OLDEST)
    written_out = b"\x9b" + OLDEST[2:] + b"\x00"  # which has one field more now
    assert commitment(b"salt", oldest) == hashlib.sha256(b"salt" + written_out).digest()
    fields = {"document": "b", "branch": "b", "version": 4, "kind": 2, "at": 1, "delta": Raw(b"\x90"), "origin": "d"}
    fields |= {"request": 6, "meta": Meta("ana"), "key": "k", "more": 1, "parents": Parents(("main", 7))}
    others = [msgspec.structs.replace(oldest, **{name: value}) for name, value in fields.items()]
    assert set(fields) == set(Event.__struct_fields__)
    assert len({commitment(b"salt", found) for found in [oldest, *others]}) == len(fields) + 1
    assert commitment(b"another", oldest) != commitment(b"salt", oldest)


def test_the_chain_of_a_stream_links_commitments() -> None:
    committed = commitment(SALT, event())
    digest = link(GENESIS, committed)
    assert digest == hashlib.sha256(GENESIS + committed).digest()
    assert check_bytes(digest) == digest[:8]


def test_the_check_of_what_is_left_of_an_erased_event_says_what_is_left() -> None:
    digest = link(GENESIS, commitment(SALT, event()))
    checks = {check_bytes(digest), check_bytes(digest, event()), check_bytes(digest, event(request=9))}
    assert len(checks) == 3
    assert {len(check) for check in checks} == {8}


def test_an_event_without_a_trace_is_proved_as_it_was_before_there_were_any() -> None:
    said = event(meta=Meta("ana", "why", ("x",)))
    fields = [getattr(said, name) for name in Event.__struct_fields__[:11]]
    fields[8] = ["ana", "why", ["x"]]
    assert commitment(SALT, said) == hashlib.sha256(SALT + msgspec.msgpack.encode(fields)).digest()
    traced = msgspec.structs.replace(said, meta=Meta("ana", "why", ("x",), "00-a-b-01"))
    fields[8] = ["ana", "why", ["x"], "00-a-b-01"]
    assert commitment(SALT, traced) == hashlib.sha256(SALT + msgspec.msgpack.encode(fields)).digest()
