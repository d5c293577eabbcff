from __future__ import annotations

import pytest
from msgspec import Raw

from palimpsest.client.reports import Blame, Digest, shares
from palimpsest.protocol import messages as m

AT = 1_577_836_800_000_001


def entry(version: int, by: str) -> m.Entry:
    return m.Entry(version, 1, AT, Raw(b"\x90"), m.Meta(by), f"me:{version}")


def test_a_blame() -> None:
    paths = ((("b", 0), 1), (("a", "odd.key"), 0), (("b", 1), 1))
    blame = Blame("notes/1", "main", m.Blamed(7, 5, paths, (entry(4, "ana"), entry(2, "bo")), True))
    assert (blame.document, blame.branch, blame.version, blame.exact) == ("notes/1", "main", 5, True)
    assert list(blame) == ["b.0", 'a["odd.key"]', "b.1"]
    assert [(made.version, made.by) for made in blame.values()] == [(2, "bo"), (4, "ana"), (2, "bo")]
    assert blame["b.0"].delta is None
    assert "b.0" in blame
    with pytest.raises(KeyError):
        _ = blame["b.2"]
    assert repr(blame) == "<Blame of 'notes/1' on 'main', version 5: 3 paths>"


def test_a_blame_that_is_not_exact() -> None:
    blame = Blame("n", "main", m.Blamed(7, 5, (((), 0),), (entry(3, "ana"),), False))
    assert (list(blame), blame.exact) == ([""], False)
    assert repr(blame).endswith("1 paths, not exact>")


def test_a_digest() -> None:
    assert Digest("n", "main", 3, bytes(range(4))).hex == "00010203"


def test_shares_are_named_tuples() -> None:
    (share,) = shares((m.Share("n", 3, 400),))
    assert (share.document, share.events, share.bytes) == share == ("n", 3, 400)
