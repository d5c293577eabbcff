"""Every setting of `serve` and of `gateway`: the one table that flags, environment, file, checks and `docs/configuration.md` are made of.

A setting has one name. In a file it is that key, in the environment `PALIMPSEST_` and the name in capitals, and on the command line
`--` and the name with dashes; those of `[limits]`, `[http_limits]` and `[resolvers]`, which are many, share a flag.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from palimpsest.cli.addresses import parse_host_port
from palimpsest.cli.session import DEFAULT_PORT
from palimpsest.limits import HttpLimits, Limits

PREFIX = "PALIMPSEST_"


def _said(
    about: str, metavar: str, allowed: str, *, check: Callable[[Any], object] | None = None, **bounds: Any
) -> Meta:
    """about: what it is, in a sentence. allowed: what it may be, as it ends `... is not`. check: raises ValueError for what is not."""
    return Meta(description=about, extra={"metavar": metavar, "allowed": allowed, "check": check}, **bounds)


def _one_of(kind: Any) -> str:
    return f"one of {', '.join(get_args(kind))}"


LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "human", "json"]
ArchiverPlace = Literal["process", "inline"]
_FileName = Annotated[str, Meta(min_length=1)]
_AboveZero = Annotated[int, Meta(gt=0)]
_SecondsAboveZero = Annotated[float, Meta(gt=0)]
_A_FILE = "the name of a file"
_A_HOST = "the name of a host, or an address"


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `serve` is told. Relative paths begin in the working directory, wherever they were given."""

    store: Annotated[str, _said("The store; made where it does not exist.", "PATH", _A_FILE, min_length=1)] = "state.db"
    host: Annotated[str, _said("The address to listen on.", "HOST", _A_HOST, min_length=1)] = "127.0.0.1"
    port: Annotated[
        int,
        _said("Its port; 0 takes any that is free.", "PORT", "a whole number from 0 to 65535", ge=0, le=65_535),
    ] = DEFAULT_PORT
    http: Annotated[
        str | None,
        _said(
            "Serve HTTP and the console here, too. Needs palimpsest[web].",
            "HOST:PORT",
            "HOST:PORT, such as 127.0.0.1:7412 or [::1]:7412",
            check=parse_host_port,
        ),
    ] = None
    http_names: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        _said("Names by which browsers reach it, such as that of a reverse proxy.", "NAME", "a list of names of hosts"),
    ] = ()
    tls_cert: Annotated[_FileName | None, _said("Speak TLS, with this certificate, as PEM.", "FILE", _A_FILE)] = None
    tls_key: Annotated[_FileName | None, _said("Its key, if it is not in the same file.", "FILE", _A_FILE)] = None
    tls_client_ca: Annotated[
        _FileName | None, _said("Ask clients for certificates of this authority.", "FILE", _A_FILE)
    ] = None
    log_level: Annotated[
        LogLevel, _said("The least that is logged, on standard error.", "LEVEL", _one_of(LogLevel))
    ] = "info"
    log_format: Annotated[
        LogFormat, _said("auto is human on a terminal, and json otherwise.", "FORMAT", _one_of(LogFormat))
    ] = "auto"
    archiver: Annotated[
        ArchiverPlace,
        _said("Archive in a process beside the server, or in its own.", "PLACE", _one_of(ArchiverPlace)),
    ] = "process"
    snapshot_versions: Annotated[
        int,
        _said("How many versions apart the archive keeps whole values.", "NUMBER", "a whole number above 0", gt=0),
    ] = 128
    resolvers: Annotated[
        dict[str, str], _said("Functions that rules of merges call by name.", "NAME=MODULE:FUNCTION", "MODULE:FUNCTION")
    ] = msgspec.field(default_factory=dict)
    limits: Annotated[Limits, _said("Bounds.", "NAME=NUMBER", "a number above 0")] = Limits()
    http_limits: Annotated[HttpLimits, _said("Bounds of HTTP.", "NAME=NUMBER", "a number above 0")] = HttpLimits()


BOUNDS: dict[str, type[Limits] | type[HttpLimits]] = {"limits": Limits, "http_limits": HttpLimits}
"""Tables that have a key for each bound."""
TABLES = (*BOUNDS, "resolvers")


class Setting(msgspec.Struct, frozen=True):
    """One row of the table. name: the key in a file, such as `port` or `limits.connections_max`; `resolvers` stands for all of them. kind: what
    msgspec converts to. default: None where there is none."""

    name: str
    kind: Any
    default: Any
    about: str
    allowed: str
    metavar: str
    check: Callable[[Any], object] | None = None

    @property
    def environment(self) -> str:
        return PREFIX + self.name.replace("limits.", "limit_").upper()

    @property
    def flag(self) -> str:
        """As it is written on the command line, with what follows it."""
        match self.name.partition("."):
            case "store", "", "":
                return "PATH"
            case table, ".", name:
                return f"{_one(table)} {name}=NUMBER"
            case "resolvers" | "http_names" as many, *_:
                return f"{_one(many)} {self.metavar}"
            case name, *_:
                return f"--{name.replace('_', '-')} {self.metavar}"


def _one(many: str) -> str:
    """The flag that is given again and again."""
    return f"--{many[:-1].replace('_', '-')}"


def _rows() -> Iterator[Setting]:
    for field in msgspec.structs.fields(ServeSettings):
        meta: Meta = get_args(field.type)[-1]
        assert meta.description is not None
        assert meta.extra is not None
        if field.name in BOUNDS:
            yield from _bounds(field.name)
            continue
        default = None if field.default is msgspec.NODEFAULT else field.default
        said = meta.extra
        yield Setting(
            field.name, field.type, default, meta.description, said["allowed"], said["metavar"], said["check"]
        )


def _bounds(table: str) -> Iterator[Setting]:
    for field in msgspec.structs.fields(BOUNDS[table]):
        whole = field.type is int
        kind: Any = _AboveZero if whole else _SecondsAboveZero
        allowed = "a whole number above 0" if whole else "a number of seconds above 0"
        yield Setting(f"{table}.{field.name}", kind, field.default, "A bound.", allowed, "NUMBER")


SETTINGS: dict[str, Setting] = {row.name: row for row in _rows()}

_OF_GATEWAY = frozenset({"http", "http_names", "tls_cert", "tls_key", "log_level", "log_format"})


def concerns_gateway(name: str) -> bool:
    """Whether a gateway in a process of its own goes by the setting of that name; the others are the server's."""
    return name in _OF_GATEWAY or name.startswith("http_limits.")


def by_name(settings: ServeSettings) -> dict[str, Any]:
    """The value of every setting, in the order of the table; each resolver is an entry of its own, `resolvers.NAME`."""
    found: dict[str, Any] = {}
    for name in SETTINGS:
        if name == "resolvers":
            found.update((f"resolvers.{resolver}", place) for resolver, place in settings.resolvers.items())
        else:
            found[name] = operator.attrgetter(name)(settings)
    return found
