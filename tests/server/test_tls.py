"""Connections that are encrypted, and clients that are known by their certificates."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

import palimpsest as pal
from palimpsest.errors import ConnectionLost, InvalidRequest, Unauthenticated
from palimpsest.server.tls import common_name

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Without asyncio's debug mode, in which a handshake that fails is an error of the server's."""
    return ("asyncio", {"debug": False})


class Files:
    """An authority, and what it has signed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.authority = trustme.CA()
        self.ca = path / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)

    def server(self, name: str = "127.0.0.1", *, client_ca: bool = False) -> pal.TlsFiles:
        issued = self.authority.issue_cert(name)
        cert, key = self.path / "cert.pem", self.path / "key.pem"
        for index, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(cert, append=index > 0)
        issued.private_key_pem.write_to_path(key)
        return pal.TlsFiles(cert, key, self.ca if client_ca else None)

    def client(self, common_name: str, authority: trustme.CA | None = None) -> ssl.SSLContext:
        """How a client shows a certificate of that name."""
        context = ssl.create_default_context(cafile=self.ca)
        (authority or self.authority).issue_cert("client.test", common_name=common_name).configure_cert(context)
        return context


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def test_everything_works_as_it_does_without(files: Files) -> None:
    async with pal.Server.memory(tls=files.server()) as server:
        assert server.url.startswith("palimpsests://127.0.0.1:")
        async with server.connect(ca=files.ca) as client, client.subscribe("notes/*") as changes:
            assert client.url == server.url
            await client.create("notes/1", "x" * 1_000_000)
            assert (await anext(changes)).version == 1
            assert len((await client.get("notes/1")).value) == 1_000_000
            assert (await client.get_many(["notes/1"]))[0] is not None


async def test_who_the_server_is_is_checked(files: Files, tmp_path: Path) -> None:
    once: Any = {"connect_seconds": 0, "timeout_seconds": 5}
    async with pal.Server.memory(tls=files.server()) as server:
        with pytest.raises(ConnectionLost, match="certificate"):  # its authority is none that the system knows
            await server.connect(**once).open()
    async with pal.Server.memory(tls=files.server("elsewhere.test")) as server:
        with pytest.raises(ConnectionLost, match="certificate"):
            await server.connect(ca=files.ca, **once).open()
        plain = server.url.replace("palimpsests", "palimpsest")
        with pytest.raises(ConnectionLost):
            await pal.connect(plain, **once).open()


async def test_a_certificate_stands_in_for_a_token(files: Files) -> None:
    async with pal.Server.memory(tls=files.server(client_ca=True)) as server:
        async with server.connect(ca=files.ca) as client:
            root = await client.tokens.create("root", roles=["admin"])
        async with server.connect(ca=files.ca, token=root.text) as admin:
            made = await admin.tokens.create("importer", roles=["admin"], certificate="import host")
            assert made.text is None
            async with server.connect(tls=files.client("import host")) as client:
                await client.create("notes/1", 1)
                await admin.tokens.revoke(made.id)
                with pytest.raises(Unauthenticated):
                    await client.get("notes/1")
            with pytest.raises(Unauthenticated):
                await server.connect(tls=files.client("import host")).open()
            await admin.tokens.create("importer", roles=["admin"], certificate="import host")
        with pytest.raises(Unauthenticated):
            await server.connect(tls=files.client("another host")).open()
        with pytest.raises(Unauthenticated):
            await server.connect(ca=files.ca).open()
        stranger = files.client("import host", trustme.CA())
        with pytest.raises(ConnectionLost):  # signed by somebody else
            await server.connect(tls=stranger, connect_seconds=0, timeout_seconds=5).open()


async def test_files_that_cannot_be_used_are_named(files: Files, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="TLS"):
        pal.Server.memory(tls=pal.TlsFiles(tmp_path / "missing.pem"))
    with pytest.raises(InvalidRequest, match="authorities"):
        pal.connect("palimpsests://127.0.0.1:1", ca=tmp_path / "missing.pem")
    with pytest.raises(InvalidRequest, match="palimpsests"):
        pal.connect("palimpsest://127.0.0.1:1", ca=files.ca)
    with pytest.raises(InvalidRequest, match="context"):
        pal.connect("palimpsests://127.0.0.1:1", ca=files.ca, tls=ssl.create_default_context())


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ((), None),
        (((("commonName", "a"),),), "a"),
        (((("organizationName", "o"),), (("commonName", "a"),)), "a"),
        (((("commonName", "a"),), (("commonName", "b"),)), None),
        (((("commonName", ""),),), None),
    ],
)
def test_the_name_of_a_certificate(subject: Any, name: str | None) -> None:
    assert common_name({"subject": subject}) == name
    assert common_name(None) is None
