"""Sizes in bytes, as the command line takes and shows them."""

from __future__ import annotations

import re

from palimpsest.errors import UsageError

_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([a-z]*)", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes: `1000`, `500kB`, `10MB`, `1.5GiB`; capitals do not matter. Raises UsageError."""
    found = _SIZE.fullmatch(text)
    if found is None or found[2].lower() not in _BYTES:
        raise UsageError(
            f"{text!r} is not a size: write bytes, or a number and kB, MB, GB, KiB, MiB or GiB, such as 10MB"
        )
    return round(float(found[1]) * _BYTES[found[2].lower()])


def readable_size(count: int) -> str:
    """For people, with three digits or so: `812 bytes`, `1.5 MB`."""
    if count < 1_000:
        return f"{count} bytes" if count != 1 else "1 byte"
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1_000, larger
    return f"{size:.0f} {unit}" if size >= 99.95 else f"{size:.1f} {unit}"
