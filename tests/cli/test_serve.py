from __future__ import annotations

import json
import logging
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import trustme
from anyio.from_thread import start_blocking_portal
from starter_kit import Starter
from typer.testing import CliRunner, Result

from palimpsest.cli.gateway import HttpSide, own_url
from palimpsest.cli.main import app
from palimpsest.cli.resolvers import load_resolvers
from palimpsest.cli.settings import SETTINGS, ServeSettings, concerns_gateway
from palimpsest.client import connect_sync
from palimpsest.embedded import Server
from palimpsest.errors import InvalidRequest, UsageError
from palimpsest.testing import RunningServer

_LISTENING = re.compile(r"listening on ((?:palimpsests?|https?)://127\.0\.0\.1:\d+)\n")


@contextmanager
def running(
    starter: Starter, *words: str, lines: int = 1, folder: Path | None = None, stdin: Any = None, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A command that serves, and the urls of the lines that it prints."""
    command = [str(starter.folder / "palimpsest"), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        command, cwd=folder, text=True, stdin=stdin, env=starter.environment(**environment), **pipes
    ) as process:
        try:
            yield process, [_url(process) for _ in range(lines)]
        finally:
            process.terminate()
            process.communicate(timeout=60)


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = _LISTENING.fullmatch(line)
    assert found, (line, process.stderr and process.stderr.read())
    return found[1]


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    """Ends it gracefully; what is left of its log."""
    process.send_signal(number)
    output, log = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, ""), log
    return log


def invoke(*words: str, **environment: str) -> Result:
    """A command that ends by itself, in this process, whose log it would otherwise keep."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        return CliRunner().invoke(app, list(words), env=environment)
    finally:
        root.handlers = handlers
        root.setLevel(level)


def test_what_was_written_is_there_after_a_graceful_end(starter: Starter, tmp_path: Path) -> None:
    words = ("serve", str(tmp_path / "state.db"), "--port", "0", "--log-format", "json")
    with running(starter, *words) as (process, (url,)):
        with connect_sync(url) as client:
            client.create("notes/1", {"title": "A"}, by="ana")
        assert all(json.loads(line)["event"] for line in end(process).splitlines())
    with running(starter, *words) as (process, (url,)):
        with connect_sync(url) as client:
            assert client.get("notes/1").value == {"title": "A"}
        end(process, signal.SIGINT)


def test_a_store_or_an_address_that_is_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Server(tmp_path / "state.db")) as server,
    ):
        second = invoke("serve", str(tmp_path / "state.db"), "--port", "0", "--log-level", "error")
        assert (second.exit_code, second.stdout) == (6, "")
        assert re.fullmatch(r"palimpsest: .*\n", second.stderr)
        port = server.url.rpartition(":")[2]
        second = invoke("serve", str(tmp_path / "other.db"), "--port", port, "--log-level", "error")
        assert (second.exit_code, second.stdout) == (5, "")
        assert re.fullmatch(rf"palimpsest: cannot serve .*other\.db at 127\.0\.0\.1:{port}: .*\n", second.stderr)


# --- resolvers -------------------------------------------------------------------------------------------------------

RULES = """
class Many:
    @staticmethod
    def longest(conflict):
        return max(conflict.ours, conflict.theirs, key=len)

longest = Many.longest
number = 5
"""


@pytest.fixture
def rules_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with modules in it."""
    (tmp_path / "rules_of_a_test.py").write_text(RULES)
    (tmp_path / "broken_of_a_test.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "rules_of_a_test", raising=False)
    return tmp_path


def test_resolvers_are_found_by_name(rules_folder: Path) -> None:
    places = {"a": "rules_of_a_test:longest", "b": "rules_of_a_test:Many.longest", "c": "builtins:max"}
    found = load_resolvers(places)
    assert [each.__name__ for each in found.values()] == ["longest", "longest", "max"]
    assert list(found) == ["a", "b", "c"]
    assert load_resolvers({}) == {}


@pytest.mark.parametrize(
    ("name", "place", "said"),
    [
        ("a", "rules_of_a_test", "resolver a=rules_of_a_test: write NAME=MODULE:FUNCTION"),
        ("sum", "rules_of_a_test:longest", "there is a rule sum already"),
        ("key:id", "rules_of_a_test:longest", "there is a rule key:id already"),
        ("a", "no_such_module_of_a_test:f", "cannot be imported: No module named"),
        ("a", "broken_of_a_test:f", "cannot be imported: division by zero"),
        ("a", ".rules:f", "cannot be imported"),
        ("a", "rules_of_a_test:nix", "has no function nix"),
        ("a", "rules_of_a_test:number", "has no function number"),
        ("a", "rules_of_a_test:Many.nix", r"has no function Many\.nix"),
    ],
)
def test_a_resolver_that_is_none_is_named(rules_folder: Path, name: str, place: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_resolvers({name: place})


def test_a_merge_calls_a_resolver_of_the_server(starter: Starter, rules_folder: Path) -> None:
    words = ("serve", "--port", "0", "--resolver", "longest=rules_of_a_test:longest")
    with running(starter, *words, folder=rules_folder) as (_, (url,)), connect_sync(url) as client:
        client.create("n", {"t": "x"})
        client.branch("n", "draft")
        client.update("n", {"t": "long"}, branch="draft")
        client.update("n", {"t": "longer"})
        client.merge("n", "draft", rules={"t": "longest"})
        assert client.get("n").value == {"t": "longer"}


# --- checking ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> trustme.CA:
    """tmp_path has ca.pem, cert.pem and key.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issue(authority, tmp_path)
    return authority


def issue(authority: trustme.CA, folder: Path) -> str:
    """A new certificate in cert.pem and key.pem. It, as PEM."""
    issued = authority.issue_cert("127.0.0.1")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    (folder / "key.pem").write_bytes(issued.private_key_pem.bytes())
    return issued.cert_chain_pems[0].bytes().decode()


def test_check_prints_every_setting_and_where_it_comes_from(
    tmp_path: Path, certificate: trustme.CA, rules_folder: Path
) -> None:
    file = tmp_path / "palimpsest.toml"
    file.write_text(
        f"""port = 0\ntls_cert = "{tmp_path}/cert.pem"\ntls_key = "{tmp_path}/key.pem"\n"""
        """resolvers.a = "rules_of_a_test:longest"\n"""
    )
    words = ("--host", "localhost", "--http", "127.0.0.1:0")
    done = invoke("serve", "--config", str(file), "--check", *words, PALIMPSEST_LOG_LEVEL="debug")
    assert done.exit_code == 0, done.output
    shown = {name: (value, origin) for name, value, origin in map(str.split, done.stdout.splitlines())}
    assert shown.keys() == (SETTINGS.keys() - {"resolvers"}) | {"resolvers.a"}
    assert shown["port"] == ("0", f"{file}:1")
    assert shown["resolvers.a"] == ("rules_of_a_test:longest", f"{file}:4")
    assert shown["host"] == ("localhost", "--host")
    assert shown["log_level"] == ("debug", "PALIMPSEST_LOG_LEVEL")
    assert shown["limits.hello_seconds"] == ("10", "default")
    assert shown["http_limits.head_seconds"] == ("20", "default")
    assert "PRIVATE KEY" not in done.output
    assert not (rules_folder / "state.db").exists()  # nothing was started


def test_check_of_a_gateway_prints_what_concerns_it(tmp_path: Path) -> None:
    file = tmp_path / "palimpsest.toml"
    file.write_text("port = 1\n[http_limits]\npage_items_max = 5\n")
    environment = {"PALIMPSEST_HTTP_LIMIT_CALLERS_MAX": "6"}
    done = invoke("gateway", "--config", str(file), "--http-limit", "body_seconds=7", "--check", **environment)
    assert done.exit_code == 0, done.output
    shown = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert shown.keys() == {name for name in SETTINGS if concerns_gateway(name)}
    assert shown["http"] == ["127.0.0.1:7412", "default"]
    assert shown["http_limits.page_items_max"] == ["5", f"{file}:3"]
    assert shown["http_limits.callers_max"] == ["6", "PALIMPSEST_HTTP_LIMIT_CALLERS_MAX"]
    assert shown["http_limits.body_seconds"] == ["7", "--http-limit", "body_seconds=7"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gateway", "--http", "nohost.invalid:1"), "--http: 'nohost.invalid' is no address: "),
        (("gateway", "--tls-cert", "none.pem"), "--tls-cert: there is no file none.pem"),
        (("--url", "http://127.0.0.1:1", "gateway"), "'http://127.0.0.1:1' is no address of a server: "),
        (("--url", "palimpsests://127.0.0.1:1", "--ca", "none.pem", "gateway"), "--ca: there is no file none.pem"),
        (("gateway", "--http-limit", "depth_max=1"), "--http-limit depth_max=1: there is no limit depth_max; "),
    ],
)
def test_check_of_a_gateway_names_what_is_wrong(words: tuple[str, ...], said: str) -> None:
    done = invoke(*words, "--check")
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"palimpsest: {said}")


def test_check_says_why_it_would_not_start(tmp_path: Path, certificate: trustme.CA, rules_folder: Path) -> None:
    other = trustme.CA().issue_cert("127.0.0.1").private_key_pem
    other.write_to_path(tmp_path / "other.pem")
    words = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "other.pem"))
    environment = {"PALIMPSEST_HOST": "no such host", "PALIMPSEST_RESOLVERS": "a=rules_of_a_test:nix"}
    done = invoke("serve", str(tmp_path / "none" / "state.db"), "--check", *words, **environment)
    assert done.exit_code == 2
    lines = done.stderr.splitlines()
    assert lines[0] == f"palimpsest: PATH: there is no folder {tmp_path}/none"
    assert lines[1].startswith("palimpsest: PALIMPSEST_HOST: 'no such host' is no address: ")
    assert lines[2].startswith("palimpsest: --tls-cert: the files for TLS cannot be used: ")
    assert "mismatch" in lines[2].lower()
    assert lines[3] == "palimpsest: resolver a=rules_of_a_test:nix: rules_of_a_test has no function nix"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tls-cert", "none.pem"), "--tls-cert: there is no file none.pem"),
        (("--tls-cert", "rules_of_a_test.py", "--tls-client-ca", "no.pem"), "--tls-client-ca: there is no file no.pem"),
        ((".",), "PATH: . is not a file"),
        (("--http", "no such host:1"), "--http: 'no such host:1' is not HOST:PORT"),
        (("--http", "nohost.invalid:1"), "--http: 'nohost.invalid' is no address: "),
    ],
)
def test_check_names_what_is_wrong(rules_folder: Path, words: tuple[str, ...], said: str) -> None:
    done = invoke("serve", "--check", *words)
    assert done.exit_code == 2
    assert any(line.startswith(f"palimpsest: {said}") for line in done.stderr.splitlines()), done.stderr


@pytest.mark.parametrize(
    "words", [("serve", "--http", "127.0.0.1:0"), ("serve", "--check", "--http", "127.0.0.1:0"), ("gateway",)]
)
def test_http_needs_its_packages(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # as where it is not installed
    done = invoke(*words)
    assert done.exit_code == 2
    assert "pip install palimpsest[web]" in done.stderr


# --- HTTP ----------------------------------------------------------------------------------------------------------------


def fetch(url: str, ca: Path | None = None) -> tuple[int, str]:
    context = None if ca is None else ssl.create_default_context(cafile=ca)
    try:
        with urllib.request.urlopen(url, timeout=20, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_http_is_served_beside(starter: Starter, tmp_path: Path) -> None:
    words = ("serve", str(tmp_path / "state.db"), "--port", "0", "--http", "127.0.0.1:0", "--log-format", "json")
    with running(starter, *words, lines=2) as (process, (url, http)):
        assert http.startswith("http://127.0.0.1:")
        with connect_sync(url) as client:
            client.create("notes/1", {"title": "A"})
        assert fetch(f"{http}/healthz")[0] == fetch(f"{http}/readyz")[0] == 200
        assert "A" in fetch(f"{http}/documents/notes/1")[1]
        events = [json.loads(line)["event"] for line in end(process).splitlines()]
        assert events[-1] == "stopped"


def test_http_is_served_within_its_limits(starter: Starter, tmp_path: Path) -> None:
    words = ("--port", "0", "--http", "127.0.0.1:0", "--http-limit", "body_bytes_max=100")
    with running(starter, "serve", str(tmp_path / "state.db"), *words, lines=2) as (process, (url, http)):
        assert put(f"{http}/documents/notes/1", 100) == 201
        assert put(f"{http}/documents/notes/2", 101) == 413
        before = ("--url", url, "gateway", "--http", "127.0.0.1:0")
        with running(starter, *before, PALIMPSEST_HTTP_LIMIT_BODY_BYTES_MAX="200") as (other, (http,)):
            assert put(f"{http}/documents/notes/2", 200) == 201
            assert put(f"{http}/documents/notes/3", 201) == 413
            end(other)
        end(process)


def put(url: str, size_bytes: int) -> int:
    """The status for a new document whose body has that size."""
    body = json.dumps("x" * (size_bytes - 2)).encode()
    headers = {"content-type": "application/json", "if-none-match": "*"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT"), timeout=20) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_an_http_address_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = invoke("serve", str(tmp_path / "state.db"), "--port", "0", "--http", address, "--log-level", "error")
        assert done.exit_code == 5
        assert re.fullmatch(rf"palimpsest: cannot serve HTTP at {address}: .*\n", done.stderr)


@pytest.mark.anyio
async def test_http_for_all_needs_a_token_in_the_store(
    tmp_path: Path, certificate: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    plain = HttpSide(ServeSettings(http="0.0.0.0:7412"))
    secure = HttpSide(
        ServeSettings(http="[::]:7412", tls_cert=str(tmp_path / "cert.pem"), tls_key=str(tmp_path / "key.pem"))
    )
    async with Server.memory() as server:
        for side in (plain, secure):
            with pytest.raises(InvalidRequest, match=r"the store has no token, and HTTP at .*:7412 can be reached"):
                await side.beside(server)
        await HttpSide(ServeSettings(http="localhost:0")).beside(server)
        async with server.connect() as client:
            await client.tokens.create("root", roles=["admin"])
        assert warnings_of(caplog) == []
        await secure.beside(server)
        assert warnings_of(caplog) == []
        await plain.beside(server)
        assert warnings_of(caplog) == ["http_not_encrypted"]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.msg["event"] for record in caplog.records if record.name == "palimpsest.cli"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("palimpsest://127.0.0.1:7411", "palimpsest://127.0.0.1:7411"),
        ("palimpsests://0.0.0.0:1", "palimpsests://127.0.0.1:1"),
        ("palimpsest://[::]:1", "palimpsest://[::1]:1"),
        ("palimpsest://db.example.org:1", "palimpsest://db.example.org:1"),
    ],
)
def test_a_server_in_this_process_is_reached_on_this_machine(url: str, own: str) -> None:
    assert own_url(url) == own


def test_a_gateway_may_be_a_process_of_its_own(starter: Starter, palimpsest_server: RunningServer) -> None:
    with palimpsest_server.connect_sync() as client:
        client.create("notes/1", {"title": "A"})
    words = ("--url", palimpsest_server.url, "gateway", "--http", "127.0.0.1:0", "--log-format", "json")
    with running(starter, *words) as (process, (http,)):
        assert fetch(f"{http}/readyz")[0] == 200
        assert "A" in fetch(f"{http}/documents/notes/1")[1]
        process.send_signal(signal.SIGHUP)
        assert log_until(process.stderr, "reloaded")["needs_restart"] == []
        end(process)


def test_a_gateway_says_what_needs_a_restart_of_its_own_settings(
    starter: Starter, palimpsest_server: RunningServer, tmp_path: Path
) -> None:
    file = tmp_path / "palimpsest.toml"
    file.write_text('http = "127.0.0.1:0"\nlog_format = "json"\n')
    words = ("--url", palimpsest_server.url, "gateway", "--config", str(file))
    with running(starter, *words) as (process, _):
        file.write_text(file.read_text() + "port = 1\nlimits.depth_max = 2\nhttp_limits.callers_max = 3\n")
        process.send_signal(signal.SIGHUP)
        assert log_until(process.stderr, "reloaded")["needs_restart"] == ["http_limits.callers_max"]
        end(process)


def test_a_gateway_for_all_needs_a_token_in_the_store(palimpsest_server: RunningServer) -> None:
    done = invoke("--url", palimpsest_server.url, "gateway", "--http", "0.0.0.0:0")
    assert done.exit_code == 2
    assert "the store has no token" in done.stderr


def test_a_gateway_has_no_certificate_of_its_own(palimpsest_server: RunningServer) -> None:
    done = invoke("--url", palimpsest_server.url, "--cert", "cert.pem", "gateway")
    assert done.exit_code == 2
    assert "--cert would make" in done.stderr


# --- signals and the service manager ---------------------------------------------------------------------------------------


def log_until(stream: IO[str] | None, event: str) -> dict[str, Any]:
    """The next line of that event in a log as JSON."""
    assert stream is not None
    for line in stream:
        found: dict[str, Any] = json.loads(line)
        if found["event"] == event:
            return found
    raise AssertionError(f"the log has ended without {event}")


def shown_at(url: str, ca: Path) -> str:
    """The certificate that a new connection is shown, as PEM."""
    port = int(url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=ca)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as secure,
    ):
        certificate = secure.getpeercert(binary_form=True)
        assert certificate is not None
        return ssl.DER_cert_to_PEM_cert(certificate)


def test_sighup_reads_certificates_and_the_log_level_again(
    starter: Starter, tmp_path: Path, certificate: trustme.CA
) -> None:
    file = tmp_path / "palimpsest.toml"
    file.write_text('port = 0\nhttp = "127.0.0.1:0"\ntls_cert = "cert.pem"\ntls_key = "key.pem"\nlog_format = "json"\n')
    first, ca = (tmp_path / "cert.pem").read_text(), tmp_path / "ca.pem"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "PALIMPSEST_CONFIG": "palimpsest.toml"}
        with running(starter, "serve", lines=2, folder=tmp_path, **environment) as (process, (url, http)):
            assert manager.recv(100) == b"READY=1"
            with connect_sync(url, ca=ca) as client:
                client.create("notes/1", {"title": "A"})
                assert "A" in fetch(f"{http}/documents/notes/1", ca)[1]
                assert first.startswith(shown_at(url, ca))
                assert first.startswith(shown_at(http, ca))

                second = issue(certificate, tmp_path)
                changed = 'log_level = "debug"\nhost = "localhost"\nlimits.depth_max = 7\nhttp_limits.callers_max = 7\n'
                file.write_text(file.read_text() + changed)
                process.send_signal(signal.SIGHUP)
                done = log_until(process.stderr, "reloaded")
                assert done["log_level"] == "debug"
                assert done["needs_restart"] == ["host", "http_limits.callers_max", "limits.depth_max"]
                assert [shown_at(url, ca), shown_at(http, ca)] == [second, second]
                assert client.get("notes/1").value == {"title": "A"}
                assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", manager.recv(100))
                assert manager.recv(100) == b"READY=1"

                (tmp_path / "key.pem").write_text("broken")
                process.send_signal(signal.SIGHUP)
                assert "files for TLS cannot be used" in log_until(process.stderr, "reload_failed")["reason"]
                issue(certificate, tmp_path)
                file.write_text("prt = 1")
                process.send_signal(signal.SIGHUP)
                assert "did you mean port?" in log_until(process.stderr, "reload_failed")["reason"]
                assert [shown_at(url, ca), shown_at(http, ca)] == [second, second]
            rest = end(process)
            assert '"level": "debug"' in rest
            assert "functools.partial" not in rest  # nothing of how the store is called
            assert [manager.recv(100)[:9] for _ in range(5)] == [*2 * [b"RELOADING", b"READY=1"], b"STOPPING="]


def test_sighup_ends_it_where_its_terminal_is_gone(starter: Starter, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    words = ("serve", str(tmp_path / "state.db"), "--port", "0", "--log-format", "json")
    with running(starter, *words, stdin=theirs) as (process, _):
        os.close(theirs)
        process.send_signal(signal.SIGHUP)
        log_until(process.stderr, "reloaded")
        os.close(ours)
        assert "SIGHUP" in end(process, signal.SIGHUP)
