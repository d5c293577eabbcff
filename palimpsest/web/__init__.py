"""The same, over HTTP: a gateway that speaks the web's own conventions, and a console to look at. Needs `palimpsest[web]`.

The gateway is a client like any other: each caller's token opens a connection of its own, so that the rules of access, bounds and
the audit are the server's, and there is no second way to a document.
"""

from palimpsest.web.gateway import Gateway

__all__ = ["Gateway"]
