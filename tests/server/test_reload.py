"""What changes while a server runs: certificates by reading their files again, everything else because it is a document."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import trustme

import palimpsest as pal
from palimpsest.errors import (
    ConnectionLost,
    DocumentNotFound,
    Forbidden,
    InvalidRequest,
    Unauthenticated,
)
from palimpsest.server.tls import ReloadableTls

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Without asyncio's debug mode, in which a handshake that fails is an error of the server's."""
    return ("asyncio", {"debug": False})


class Folder:
    """Where a server's certificate lies. authority: who signs it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = pal.TlsFiles(path / "cert.pem", path / "key.pem")
        self.files_with_clients = pal.TlsFiles(path / "cert.pem", path / "key.pem", path / "clients.pem")
        self.authority = trustme.CA()
        self.ca = path / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)

    def issue(self) -> str:
        """Replaces certificate and key. The digest of the new one."""
        issued = self.authority.issue_cert("127.0.0.1")
        (self.path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        (self.path / "key.pem").write_bytes(issued.private_key_pem.bytes())
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())).hexdigest()

    def trust(self, clients: trustme.CA) -> None:
        clients.cert_pem.write_to_path(self.path / "clients.pem")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    return Folder(tmp_path)


async def shown(server: pal.Server, ca: Path) -> str:
    """The digest of the certificate that a new connection is shown."""
    port = int(server.url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=ca)

    def connect() -> str:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as secure,
        ):
            certificate = secure.getpeercert(binary_form=True)
            assert certificate is not None
            return hashlib.sha256(certificate).hexdigest()

    return await anyio.to_thread.run_sync(connect)


async def test_new_connections_get_the_new_certificate_and_old_ones_stay(folder: Folder) -> None:
    first = folder.issue()
    async with pal.Server.memory(tls=folder.files) as server, server.connect(ca=folder.ca) as client:
        await client.create("notes/1", 1)
        assert await shown(server, folder.ca) == first
        second = folder.issue()
        assert await shown(server, folder.ca) == first  # not before it is told to
        server.reload_tls()
        assert await shown(server, folder.ca) == second
        assert (await client.get("notes/1")).value == 1
        third = folder.issue()
        server.reload_tls()
        assert await shown(server, folder.ca) == third
        async with server.connect(ca=folder.ca) as another:
            assert (await another.get("notes/1")).value == 1


@pytest.mark.parametrize("damage", ["missing", "empty", "no key", "another key"])
async def test_files_that_are_broken_change_nothing(folder: Folder, damage: str) -> None:
    first = folder.issue()
    async with pal.Server.memory(tls=folder.files) as server:
        key = (folder.path / "key.pem").read_bytes()
        folder.issue()
        match damage:
            case "missing":
                (folder.path / "cert.pem").unlink()
            case "empty":
                (folder.path / "cert.pem").write_bytes(b"")
            case "no key":
                (folder.path / "key.pem").unlink()
            case _:
                (folder.path / "key.pem").write_bytes(key)
        with pytest.raises(InvalidRequest, match="the files for TLS cannot be used"):
            server.reload_tls()
        assert await shown(server, folder.ca) == first
        second = folder.issue()
        server.reload_tls()
        assert await shown(server, folder.ca) == second


async def test_who_signs_clients_is_read_again_too(folder: Folder) -> None:
    old, new = trustme.CA(), trustme.CA()
    folder.issue()
    folder.trust(old)

    def client_of(authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=folder.ca)
        authority.issue_cert("client.test", common_name="host").configure_cert(context)
        return context

    async with pal.Server.memory(tls=folder.files_with_clients) as server:
        async with server.connect(ca=folder.ca) as admin:
            root = (await admin.tokens.create("root", roles=["admin"])).text
        async with server.connect(ca=folder.ca, token=root) as admin:
            await admin.tokens.create("host", roles=["admin"], certificate="host")
        async with server.connect(tls=client_of(old)) as client:
            await client.create("notes/1", 1)
            folder.trust(new)
            server.reload_tls()
            assert (await client.get("notes/1")).value == 1  # it was checked when it came
        async with server.connect(tls=client_of(new)) as client:
            assert (await client.get("notes/1")).value == 1
        with pytest.raises((ConnectionLost, Unauthenticated)):
            await server.connect(tls=client_of(old), connect_seconds=0, timeout_seconds=5).open()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_does_not_outlive_the_authority_of_its_client(folder: Folder, version: ssl.TLSVersion) -> None:
    old, new = trustme.CA(), trustme.CA()
    folder.issue()
    folder.trust(old)
    tls = ReloadableTls(folder.files_with_clients)
    context = ssl.create_default_context(cafile=folder.ca)
    context.maximum_version = version
    old.issue_cert("client.test", common_name="host").configure_cert(context)
    session, name = shake_hands(tls.context, context, None)
    assert name
    folder.trust(new)
    tls.reload()
    with pytest.raises(ssl.SSLError):
        shake_hands(tls.context, context, session)


def shake_hands(
    of_server: ssl.SSLContext, of_client: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, object]:
    """In memory. What the client could resume, and what the server knows of the client's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = of_server.wrap_bio(to_server, to_client, server_side=True)
    client = of_client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1", session=session)
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    server.write(b"x")
    assert client.read(1) == b"x"  # what a session is resumed with has come by then
    return client.session, server.getpeercert()


async def test_there_must_be_files_to_read_again(folder: Folder) -> None:
    folder.issue()
    for tls in (None, folder.files.context()):
        async with pal.Server.memory(tls=tls) as server:
            with pytest.raises(InvalidRequest, match="was not given the files"):
                server.reload_tls()


async def test_what_is_a_document_takes_effect_at_once(tmp_path: Path) -> None:
    async with pal.Server(tmp_path / "state.db") as server:
        async with server.connect() as client:
            root = (await client.tokens.create("root", roles=["admin"])).text
        async with server.connect(token=root) as admin:
            token = await admin.tokens.create("ana", roles=["reader"])
            await admin.create("notes/1", {"title": "A", "secret": "s"})
            async with server.connect(token=token.text) as ana:
                with pytest.raises(Forbidden):
                    await ana.get("notes/1")
                await admin.perspectives.put(pal.Perspective(name="public", documents="notes/*", include=["title"]))
                grant = pal.Grant(documents="notes/*", actions=("read",), perspective="public")
                await admin.roles.put("reader", pal.Role(grants=(grant,)))
                assert (await ana.get("notes/1")).value == {"title": "A"}
                await admin.perspectives.put(pal.Perspective(name="public", documents="notes/*", include=["secret"]))
                assert (await ana.get("notes/1")).value == {"secret": "s"}
                for n in range(3):
                    await admin.update("notes/1", {"n": n})
                await admin.retention.put("short", pal.Retention(documents="notes/*", versions=1))
                assert (await admin.prune(dry_run=False)).events == 3
                await admin.roles.delete("reader")
                with pytest.raises((Forbidden, DocumentNotFound)):
                    await ana.get("notes/1")
                await admin.tokens.revoke(token.id)
                with pytest.raises(Unauthenticated):
                    await ana.get("notes/1")
