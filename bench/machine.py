"""What the figures were measured on, without saying whose machine it is."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import redis_peer

_PACKAGES = ("palimpsest", "msgspec", "pyrsistent", "aiosqlite", "uvloop", "redis", "hiredis")


def describe(directory: Path) -> dict[str, str | int]:
    """directory: where the stores of the measurement lie, which says what file system they are on."""
    found: dict[str, str | int] = {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": f"{platform.system()} {platform.release()}",
        "filesystem": filesystem(directory),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "redis-server": _redis_server(),
    }
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def filesystem(directory: Path) -> str:
    """The type of the file system that holds directory, such as ext4; "unknown" where the kernel does not say."""
    resolved = directory.resolve()
    best, kind = -1, "unknown"
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return kind
    for mount in mounts:
        _, point, type_name, *_ = mount.split(" ")
        place = Path(point.replace("\\040", " "))
        if resolved.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), type_name
    return kind


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _redis_server() -> str:
    found = redis_peer.executable()
    if found is None:
        return "not installed"
    words = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.split()
    versions = [word.removeprefix("v=") for word in words if word.startswith("v=")]
    return versions[0] if versions else "unknown"
