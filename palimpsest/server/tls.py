"""TLS: where a server's certificate lies, how it is replaced while connections last, and whose certificate a client has shown."""

from __future__ import annotations

import os
import ssl
from typing import Any

import msgspec

from palimpsest.errors import InvalidRequest


class TlsFiles(msgspec.Struct, frozen=True):
    """Files in PEM. cert: the server's certificate, with what leads from it to its authority. key: its private key, where that is not in
    the same file. client_ca: the authority of clients' certificates; without one, none is asked for."""

    cert: str | os.PathLike[str]
    key: str | os.PathLike[str] | None = None
    client_ca: str | os.PathLike[str] | None = None

    def context(self) -> ssl.SSLContext:
        """Raises InvalidRequest where a file cannot be read or does not hold what it should."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert, self.key)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
        except OSError as error:  # those of ssl are among them
            raise InvalidRequest(f"the files for TLS cannot be used: {error}", reason="tls") from error
        return context


class ReloadableTls:
    """A context for listeners whose files can be read again: each handshake is made with what was read last.

    Connections that are there stay as they are.
    """

    def __init__(self, files: TlsFiles) -> None:
        """Raises InvalidRequest, as `TlsFiles.context` does."""
        self.context = files.context()
        """What listeners are given; always the same one."""
        self._files = files
        self._newest = self.context
        # OpenSSL calls this for every handshake, whether or not the client names a server, and takes from the other context what it
        # proves itself with and what it checks clients by.
        self.context.sni_callback = self._use_newest
        if files.client_ca is not None:
            # Special case: a session that is resumed is not checked again, and its authority may have been taken out meanwhile.
            self.context.options |= ssl.OP_NO_TICKET
            self.context.num_tickets = 0

    def reload(self) -> None:
        """Reads the files again. Raises InvalidRequest where they cannot be used; those that were read before stay then."""
        self._newest = self._files.context()

    def _use_newest(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if self._newest is not context:
            connection.context = self._newest


def common_name(certificate: Any) -> str | None:
    """Of a certificate as `getpeercert` gives it, which has been verified; None where there is none, or not exactly one name."""
    if not certificate:
        return None
    names = [value for entry in certificate.get("subject", ()) for key, value in entry if key == "commonName" and value]
    return names[0] if len(names) == 1 else None
