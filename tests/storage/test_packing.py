from __future__ import annotations

import random
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.storage.packing import pack, unpack

TEXT = b"words that are said again and again, " * 20


@given(st.binary(max_size=600) | st.builds(bytes.__mul__, st.binary(max_size=9), st.integers(0, 900)))
def test_what_is_packed_comes_back(plain: bytes) -> None:
    assert unpack(pack(plain)) == plain


def test_only_what_gains_is_compressed() -> None:
    noise = random.Random(0).randbytes(5_000)
    assert pack(TEXT[:200]) == TEXT[:200]
    assert pack(noise) == noise
    assert len(pack(TEXT)) < 100


def test_what_could_be_mistaken_for_packed_is_packed() -> None:
    for plain in (b"\xc1", b"\xc1" + TEXT[:50]):
        assert pack(plain) != plain
        assert unpack(pack(plain)) == plain


def test_no_byte_can_be_changed_unnoticed() -> None:
    packed = pack(TEXT)
    for place in range(1, len(packed)):
        for bit in range(8):
            damaged = packed[:place] + bytes([packed[place] ^ 1 << bit]) + packed[place + 1 :]
            with pytest.raises(ValueError, match="checksum"):
                unpack(damaged)
    with pytest.raises(ValueError, match="checksum"):
        unpack(packed[:-1])


def test_what_was_never_packed_does_not_unpack() -> None:
    with pytest.raises(ValueError, match="does not decompress"):
        unpack(b"\xc1" + bytes(4))


def test_each_thread_packs_for_itself() -> None:
    packed: list[bytes] = []
    threads = [Thread(target=lambda: packed.append(pack(TEXT))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert packed == [pack(TEXT)] * 4
