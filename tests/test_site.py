"""The site: it builds without a warning, needs nothing from elsewhere, and its reference has every public name."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import palimpsest as pal
from palimpsest import errors, sync

ROOT = Path(__file__).parent.parent

_SECONDS = 120
_LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "link": "href",
}
"""By element: the attribute that makes a browser fetch something."""
_FETCHED = re.compile(r"(?:url\(|@import )\s*[\"']?((?:https?:)?//[^\"')]+)")


class Seen(HTMLParser):
    """What a page fetches, what it links to, and the names that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.linked: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag in _LOADED and said.get(_LOADED[tag]):
            self.fetched.append(said[_LOADED[tag]])
        if tag == "a" and said.get("href"):
            self.linked.append(said["href"])
        self.names |= {said[name] for name in ("id", "name") if name in said}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Seen]:
    """Its pages, as `make site` builds them."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        # Not with --quiet: what is not said is not counted by --strict.
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {page: Seen(page.read_text(encoding="utf-8")) for page in sorted(folder.rglob("*.html"))}


def is_elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc)


# One test, as each process of the tests that has one would build a site of its own.
@pytest.mark.site
def test_the_site(site: dict[Path, Seen]) -> None:
    assert [
        f"{page.name}: {address}" for page, seen in site.items() for address in seen.fetched if is_elsewhere(address)
    ] == []
    folder = min(site, key=lambda page: len(page.parts)).parent
    assert [
        found for sheet in folder.rglob("*.css") for found in _FETCHED.findall(sheet.read_text(encoding="utf-8"))
    ] == []
    assert (folder / "search" / "search_index.json").stat().st_size > 0
    assert list(broken(site)) == []
    assert list(missing(site)) == []


def broken(site: dict[Path, Seen]) -> Iterator[str]:
    """Links and files of the site's own that lead nowhere."""
    for page, seen in site.items():
        if page.name == "404.html":  # it is shown at any path, and knows none
            continue
        for address in seen.linked + seen.fetched:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path not in ("", ".") else page
            there = target / "index.html" if target.is_dir() else target
            unnamed = parts.fragment and there in site and unquote(parts.fragment) not in site[there].names
            if unnamed or not there.exists():
                yield f"{page.name}: {address}"


def missing(site: dict[Path, Seen]) -> Iterator[str]:
    """Public names that the reference does not have."""
    names = set().union(*(seen.names for page, seen in site.items() if page.parent.name == "reference"))
    for name in pal.__all__:
        value = getattr(pal, name)
        if inspect.ismodule(value):
            continue  # that is `errors`, whose classes are below
        if not {f"palimpsest.{name}", f"palimpsest.errors.{name}"} & names:
            yield name
    yield from (name for name in sync.__all__ if f"palimpsest.sync.{name}" not in names)
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.PalimpsestError) and f"palimpsest.errors.{name}" not in names:
            yield name
