"""What is in `deploy/` can be used: as far as that can be seen without a service manager and without a builder of images."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from starter_kit import Starter

from palimpsest.cli.configuration import Flags, configured
from palimpsest.cli.main import app
from palimpsest.cli.settings import SETTINGS, ServeSettings
from palimpsest.limits import HttpLimits, Limits

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("palimpsest*.service")) + sorted(DEPLOY.glob("*.timer"))
CONTAINERFILE = DEPLOY / "Containerfile"


def parses(words: list[str]) -> dict[str, Any]:
    """The parameters of a command line of `palimpsest`, without its name. Fails where it does not parse."""
    commands: Any = typer.main.get_command(app)
    outer = commands.make_context("palimpsest", list(words), resilient_parsing=False)
    name, command, rest = commands.resolve_command(outer, outer._protected_args + outer.args)
    with outer, command.make_context(name, list(rest), parent=outer) as inner:
        return {"": name, **inner.params}


# --- the configuration -------------------------------------------------------------------------------------------------


def test_the_example_has_every_setting_with_its_default() -> None:
    text = (DEPLOY / "palimpsest.toml").read_text(encoding="utf-8")
    assert configured(Flags({}, config=DEPLOY / "palimpsest.toml"), {}).settings == ServeSettings(
        store="/var/lib/palimpsest/state.db", http="127.0.0.1:7412"
    )
    shown = tomllib.loads(re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE))
    assert set(shown) == set(ServeSettings.__struct_fields__)
    assert shown["limits"] == {name: getattr(Limits(), name) for name in Limits.__struct_fields__}
    assert shown["http_limits"] == {name: getattr(HttpLimits(), name) for name in HttpLimits.__struct_fields__}
    without_default = {"store", "http", "tls_cert", "tls_key", "tls_client_ca", "resolvers", "limits", "http_limits"}
    for name in shown.keys() - without_default:
        assert shown[name] == (list(SETTINGS[name].default) if name == "http_names" else SETTINGS[name].default), name


# --- systemd -------------------------------------------------------------------------------------------------------------


def unit(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(path.read_text(encoding="utf-8"))
    return {name: dict(parser[name]) for name in parser.sections()}


def test_the_units_start_what_there_is() -> None:
    served = unit(DEPLOY / "palimpsest.service")["Service"]
    program, *words = shlex.split(served["ExecStart"])
    assert program == "/opt/palimpsest/bin/palimpsest"
    assert parses(words)[""] == "serve"
    saved = unit(DEPLOY / "palimpsest-backup.service")["Service"]
    shell, option, line = shlex.split(saved["ExecStart"])
    assert (shell, option) == ("/bin/sh", "-c")
    execute, program, *words = shlex.split(line.replace("%%", "%"))
    assert (execute, program) == ("exec", "/opt/palimpsest/bin/palimpsest")
    assert parses(words)[""] == "backup"
    assert re.fullmatch(r"/var/backups/palimpsest/\$\(date \+%F\)", parses(words)["directory"])
    assert "/var/backups/palimpsest" in served["ReadWritePaths"]


def test_the_unit_gives_the_server_its_time_and_its_files() -> None:
    served = unit(DEPLOY / "palimpsest.service")["Service"]
    assert int(served["TimeoutStopSec"]) > 2 * (Limits().shutdown_seconds + HttpLimits().shutdown_seconds)
    connections = Limits().connections_max + HttpLimits().connections_max + 2 * HttpLimits().callers_max
    assert int(served["LimitNOFILE"]) > 2 * connections
    assert served["Type"] == "notify"
    assert served["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("this machine has no systemd-analyze")
    for path in UNITS:
        text = path.read_text(encoding="utf-8").replace("/opt/palimpsest/bin/palimpsest", sys.executable)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    command = [analyze, "verify", "--man=no", *(str(tmp_path / path.name) for path in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # It looks at the machine's own units, too; a unit of ours is named where something is wrong with it.
    assert [line for line in done.stderr.splitlines() if "palimpsest" in line] == []
    assert done.returncode == 0


_DENY = """
import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0):
    sys.exit("no such thing")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Becomes a Python that the kernel denies memory that was written to be executed (PR_SET_MDWE), with all that it starts. Linux has that from 6.3
on; MemoryDenyWriteExecute denies the same by a filter for system calls."""


def test_the_server_executes_no_memory_that_was_written(tmp_path: Path) -> None:
    denied = subprocess.run(
        [sys.executable, "-c", _DENY, "-c", "import mmap; mmap.mmap(-1, 4096, prot=7)"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if "no such thing" in denied.stderr:
        pytest.skip("this kernel cannot deny it")
    assert "PermissionError" in denied.stderr
    words = [
        "-m",
        "palimpsest",
        "serve",
        str(tmp_path / "state.db"),
        "--port=0",
        "--http=127.0.0.1:0",
        "--log-format=json",
    ]
    with served([sys.executable, "-c", _DENY, *words], lines=2) as (process, urls):
        with urllib.request.urlopen(f"{urls[1]}/readyz", timeout=20) as answer:  # which looks at the archiver, too
            assert answer.status == 200
        process.terminate()
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0
        levels = {json.loads(line)["level"] for line in log.splitlines()}
        assert levels == {"info"}


@contextmanager
def served(
    command: list[str], lines: int, environment: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process that listens, and the addresses that it prints."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        try:
            printed = [process.stdout.readline() for _ in range(lines)]
            yield process, [line.removeprefix("listening on ").strip() for line in printed]
        finally:
            process.terminate()
            process.communicate(timeout=60)


# --- the container -----------------------------------------------------------------------------------------------------


def instructions() -> Iterator[tuple[str, str]]:
    """(word, what follows it) of each instruction, in order."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def of(word: str) -> list[str]:
    return [rest for each, rest in instructions() if each == word]


def test_everything_that_is_copied_is_there() -> None:
    sources = [source for rest in of("COPY") if not rest.startswith("--from") for source in rest.split()[:-1]]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_image_is_of_two_stages_and_of_a_python_that_we_support() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bases = [rest.split()[0] for rest in of("FROM")]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    version = re.fullmatch(r"python:(3\.\d+)-slim", bases[0])
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in project["classifiers"]


def test_the_image_starts_a_server_as_somebody_who_is_nobody() -> None:
    entry, command = (json.loads(of(word)[0]) for word in ("ENTRYPOINT", "CMD"))
    assert entry == ["palimpsest"]
    assert parses(command)[""] == "serve"
    (user,) = of("USER")
    assert f"--uid {user} " in of("RUN")[-1]
    assert of("STOPSIGNAL") == ["SIGTERM"]
    environment = dict(word.split("=", 1) for word in shlex.split(of("ENV")[-1]) if word.startswith("PALIMPSEST_"))
    found = configured(Flags({}), environment)
    assert set(found.origins) == {"store", "host", "http", "log_format"}
    assert found.remarks == ()
    (volume,) = of("VOLUME")
    assert Path(found.settings.store).parent == Path(volume)
    assert found.settings.http is not None
    assert of("EXPOSE") == [f"{found.settings.port} {found.settings.http.rpartition(':')[2]}"]


def test_the_health_check_asks_whether_the_server_is_ready(starter: Starter, tmp_path: Path) -> None:
    (rest,) = of("HEALTHCHECK")
    program, option, code = json.loads(rest.partition("CMD ")[2])
    assert (program, option) == ("python", "-c")
    words = ["serve", str(tmp_path / "state.db"), "--port=0", "--http=127.0.0.1:0"]
    command = [str(starter.folder / "palimpsest"), *words]
    with served(command, 2, starter.environment()) as (process, urls):
        assert "http://127.0.0.1:7412" in code
        check = [sys.executable, option, code.replace("http://127.0.0.1:7412", urls[1])]
        assert subprocess.run(check, timeout=60, check=False).returncode == 0
        process.terminate()
        process.communicate(timeout=60)
        assert subprocess.run(check, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode != 0


def test_the_image_has_all_that_is_needed_and_each_by_its_digest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["web"]]
    pinned, of_tests = pins("serve.txt"), pins("dev.txt")
    assert {canonicalize_name(Requirement(each).name) for each in wanted} <= pinned.keys()
    assert {canonicalize_name(Requirement(each).name) for each in project_builders()} <= pins("build.txt").keys()
    assert {
        name: pin for name, pin in pinned.items() if of_tests[name] != pin
    } == {}  # what is tested is what is served


def project_builders() -> list[str]:
    builders: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"][
        "requires"
    ]
    return builders


def pins(name: str) -> dict[str, str]:
    """Versions by package. Fails where one has no digest."""
    found = {}
    for block in re.split(r"\n(?=[a-z])", (ROOT / "requirements" / name).read_text(encoding="utf-8")):
        pin = re.match(r"([a-zA-Z0-9._-]+)==([^ ;]+)", block)
        if pin is not None:
            assert "--hash=sha256:" in block, block
            found[canonicalize_name(pin[1])] = pin[2]
    return found


def test_the_package_that_is_put_into_the_image_is_whole(tmp_path: Path) -> None:
    for source in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / source, tmp_path)
    shutil.copytree(ROOT / "palimpsest", tmp_path / "palimpsest", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60, env=os.environ)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("palimpsest/")}
    files = (file.relative_to(tmp_path).as_posix() for file in (tmp_path / "palimpsest").rglob("*") if file.is_file())
    assert packed == set(files)
    assert "palimpsest/web/console/index.html" in packed
