"""TLS: where a server's certificate lies, and whose certificate a client has shown."""

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


def common_name(certificate: Any) -> str | None:
    """Of a certificate as `getpeercert` gives it, which has been verified; None where there is none, or not exactly one name."""
    if not certificate:
        return None
    names = [value for entry in certificate.get("subject", ()) for key, value in entry if key == "commonName" and value]
    return names[0] if len(names) == 1 else None
