"""How bytes are kept in an archive: compressed where that gains something, and as they are where not.

What is kept says itself which of the two it is: what is compressed begins with a byte that no msgpack begins with, and carries a
checksum of its compressed form, so that there is no byte of it that could be changed without being noticed.
"""

from __future__ import annotations

import threading
import zlib

import zstandard

_MARK = b"\xc1"
"""The one byte that msgpack never uses."""
_CHECKSUM_BYTES = 4
_HEADER_BYTES = len(_MARK) + _CHECKSUM_BYTES

_PACKED_FROM_BYTES = 256
"""Below that compressing gains little, and would cost every small event some microseconds."""
_LEVEL = 3


class _Codecs(threading.local):
    """A compressor is dear to make and cannot be shared between threads."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def pack(plain: bytes) -> bytes:
    """What is kept for plain. It stays as it is unless compressing saves at least an eighth of it."""
    mistakable = plain[:1] == _MARK
    if len(plain) < _PACKED_FROM_BYTES and not mistakable:
        return plain
    frame = _codecs.compressor.compress(plain)
    if _HEADER_BYTES + len(frame) > len(plain) - len(plain) // 8 and not mistakable:
        return plain
    return _MARK + zlib.crc32(frame).to_bytes(_CHECKSUM_BYTES, "big") + frame


def unpack(kept: bytes) -> bytes:
    """What `pack` was given. Raises ValueError where kept is damaged, as far as that can be seen."""
    if kept[:1] != _MARK:
        return kept
    frame = kept[_HEADER_BYTES:]
    if zlib.crc32(frame).to_bytes(_CHECKSUM_BYTES, "big") != kept[len(_MARK) : _HEADER_BYTES]:
        raise ValueError("its checksum does not match")
    try:
        return _codecs.decompressor.decompress(frame)
    except zstandard.ZstdError as error:
        raise ValueError(f"it does not decompress: {error}") from error
