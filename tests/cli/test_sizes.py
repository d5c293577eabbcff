from __future__ import annotations

import pytest

from palimpsest.cli.sizes import parse_size, readable_size
from palimpsest.errors import UsageError


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1000", 1_000),
        ("7B", 7),
        ("500kB", 500_000),
        ("10MB", 10_000_000),
        ("1.5GB", 1_500_000_000),
        ("64KiB", 65_536),
        ("10 mib", 10_485_760),
        ("2TiB", 2_199_023_255_552),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "MB", "-1", "1e6", "10 megabytes", "10M", "1.MB", "10MB "])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size: write bytes, or"):
        parse_size(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (1_540, "1.5 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_500_000_000, "1.5 GB"),
        (10**16, "10000 TB"),
    ],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert readable_size(count) == text
