"""The room that owns sockets and tasks."""

from palimpsest.server.server import Server

__all__ = ["Server"]
