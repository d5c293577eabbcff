"""What the site needs beside the pages: README, CHANGELOG and sources, which lie outside of docs/.

Pages link to these as they do on a code host, by their paths in the repository (`../README.md`, `../examples/inventory.py`). For the site,
README and CHANGELOG become pages of their own, each other file that is linked becomes a page that shows it, and links are made to lead there.
A directory has no page; its name stays, without a link. Comments that say how a block is tested are left out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

OUTSIDE = {"README.md": "about.md", "CHANGELOG.md": "changes.md"}
"""By path in the repository: the page that it is."""
LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".service": "ini"}

_FENCED = re.compile(r"(^ *```.*?^ *```[ \t]*$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<text>!?\[[^\]]*\])\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")
_SEARCH = 'data-md-component="search" role="dialog"'
_COMMENT = re.compile(r"^<!--.*?-->\n?", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of what lies outside."""
    root = Path(config.config_file_path).parent
    for path, uri in OUTSIDE.items():
        text = (root / path).read_text(encoding="utf-8")
        files.append(File.generated(config, uri, content=translate(text, PurePosixPath("."), uri, root)))
    for path in sorted({path for file in files.documentation_pages() for path in sources(file, root)}):
        files.append(File.generated(config, source_uri(path), content=show(path, root)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Of a page in docs/: links that lead out of it lead to the pages of what they name."""
    if page.file.generated_by is not None:
        return markdown
    root = Path(config.config_file_path).parent
    return translate(markdown, folder_of(page.file.src_uri), page.file.src_uri, root)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Gives the theme's dialog for searching the name that it lacks."""
    return output.replace(_SEARCH, f'{_SEARCH} aria-label="Search"')


def translate(markdown: str, folder: PurePosixPath, uri: str, root: Path) -> str:
    """For the site. folder: in the repository, where links of this text begin; uri: of the page that it becomes."""

    def link(match: re.Match[str]) -> str:
        target = match["target"]
        if not target or "://" in target:
            return match[0]
        place = where(normal(folder, target), root)
        if place is None:
            return match["text"].strip("![]")
        return f"{match['text']}({posixpath.relpath(place, posixpath.dirname(uri) or '.')}{match['anchor'] or ''})"

    return outside_of_code(markdown, lambda prose: _LINK.sub(link, _COMMENT.sub("", prose)))


def outside_of_code(markdown: str, change: Callable[[str], str]) -> str:
    """With what is not in a fenced block changed."""
    parts = _FENCED.split(markdown)
    return "".join(part if index % 2 else change(part) for index, part in enumerate(parts))


def where(path: str, root: Path) -> str | None:
    """The page, or the file, of the site that stands for this path of the repository. None for a directory."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if (root / path).is_dir():
        return None
    return OUTSIDE.get(path) or source_uri(path)


def sources(file: File, root: Path) -> set[str]:
    """Of the files outside that a page links to, those that have no page yet: paths in the repository."""
    folder = PurePosixPath(".") if file.generated_by else folder_of(file.src_uri)
    prose = "".join(_FENCED.split(file.content_string)[::2])
    paths = {normal(folder, match["target"]) for match in _LINK.finditer(prose) if "://" not in match["target"]}
    return {path for path in paths - OUTSIDE.keys() if not path.startswith("docs") and (root / path).is_file()}


def show(path: str, root: Path) -> str:
    """A page with the text of a file."""
    text = (root / path).read_text(encoding="utf-8")
    language = LANGUAGES.get(PurePosixPath(path).suffix, "text")
    return f"# {path}\n\n````{language}\n{text}````\n"


def source_uri(path: str) -> str:
    return f"source/{path}.md"


def folder_of(uri: str) -> PurePosixPath:
    """In the repository, of a page in docs/."""
    return PurePosixPath("docs") / PurePosixPath(uri).parent


def normal(folder: PurePosixPath, target: str) -> str:
    return posixpath.normpath(str(folder / target))
