"""The console's files: read once, sent with a policy that lets a page load nothing from anywhere else."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_FOLDER = Path(__file__).parent / "console"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}


class _File:
    """One file of the console. An endpoint."""

    def __init__(self, file: Path) -> None:
        self._content = file.read_bytes()
        self._media_type = _MEDIA_TYPES[file.suffix]
        self._headers = _HEADERS | {"ETag": f'"{hashlib.sha256(self._content).hexdigest()[:20]}"'}

    async def __call__(self, request: Request) -> Response:
        if request.headers.get("if-none-match") == self._headers["ETag"]:
            return Response(status_code=304, headers=self._headers)
        return Response(self._content, headers=self._headers, media_type=self._media_type)


def routes() -> list[Route]:
    """`/` is `index.html`; every other file is below `/console/`."""
    found = []
    for file in sorted(_FOLDER.rglob("*")):
        if file.suffix in _MEDIA_TYPES:
            name = file.relative_to(_FOLDER).as_posix()
            path = "/" if name == "index.html" else f"/console/{name}"
            found.append(Route(path, _File(file).__call__, methods=["GET"]))
    return found
