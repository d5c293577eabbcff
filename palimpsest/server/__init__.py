"""The room that owns sockets and tasks."""

from palimpsest.server.server import Server
from palimpsest.server.tls import TlsFiles

__all__ = ["Server", "TlsFiles"]
