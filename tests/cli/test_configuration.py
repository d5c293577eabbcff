"""Where settings come from, which of them counts, and what is said of those that make no sense."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from palimpsest.cli.configuration import Configuration, Flags, configured
from palimpsest.cli.main import app
from palimpsest.cli.settings import BOUNDS, SETTINGS, ServeSettings, Setting, by_name, concerns_gateway
from palimpsest.errors import UsageError
from palimpsest.limits import HttpLimits, Limits

PAGE = Path(__file__).parent.parent.parent / "docs" / "configuration.md"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "palimpsest.toml"


def read(file: Path, text: str, environment: Mapping[str, str] | None = None, **plain: str) -> Configuration:
    file.write_text(text, encoding="utf-8")
    return configured(Flags(plain, config=file), environment or {})


def refused(file: Path, text: str, environment: Mapping[str, str] | None = None, flags: Flags | None = None) -> str:
    """What is said. The file's folder is left out of it."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        configured(msgspec.structs.replace(flags or Flags({}), config=file), environment or {})
    return raised.value.message.replace(f"{file.parent}/", "")


# --- from every place ------------------------------------------------------------------------------------------------

OTHERS: dict[str, tuple[str, str, Any, Any]] = {
    "store": ('"a.db"', "b.db", "a.db", "b.db"),
    "host": ('"::1"', "localhost", "::1", "localhost"),
    "port": ("0", "8_000", 0, 8000),
    "http": ('"[::1]:1"', "localhost:2", "[::1]:1", "localhost:2"),
    "http_names": ('["a", "b"]', "c, d", ("a", "b"), ("c", "d")),
    "tls_cert": ('"a.pem"', "b.pem", "a.pem", "b.pem"),
    "tls_key": ('"a.key"', "b.key", "a.key", "b.key"),
    "tls_client_ca": ('"a.ca"', "b.ca", "a.ca", "b.ca"),
    "log_level": ('"debug"', "error", "debug", "error"),
    "log_format": ('"json"', "human", "json", "human"),
    "archiver": ('"inline"', "process", "inline", "process"),
    "snapshot_versions": ("1", "2", 1, 2),
}
"""Of each setting: a value as TOML, another one as a word, and what both mean."""


def value_of(configuration: Configuration, name: str) -> Any:
    return operator.attrgetter(name)(configuration.settings)


@pytest.mark.parametrize(
    "setting", [row for row in SETTINGS.values() if row.name != "resolvers"], ids=lambda row: row.name
)
def test_a_flag_counts_more_than_the_environment_and_that_more_than_a_file(file: Path, setting: Setting) -> None:
    name, variable = setting.name, setting.environment
    in_toml, word, of_toml, of_word = OTHERS.get(name, ("7", "8", 7, 8))
    text = "" if name == "tls_cert" else 'tls_cert = "x"\n'
    text += f"{name} = {in_toml}\n"
    line = text.count("\n")

    found = read(file, text)
    assert (value_of(found, name), found.origin(name).text) == (of_toml, f"{file}:{line}")
    found = read(file, text, {variable: word})
    assert (value_of(found, name), found.origin(name).text) == (of_word, variable)
    flags, of_flag, flag = flags_for(name, in_toml)
    found = configured(msgspec.structs.replace(flags, config=file), {variable: word})
    assert (value_of(found, name), found.origin(name).text) == (of_flag, flag)


def flags_for(name: str, in_toml: str) -> tuple[Flags, Any, str]:
    """Flags that say what in_toml says, or something else again, what that means, and where it comes from."""
    table, _, bound = name.rpartition(".")
    if table in BOUNDS:
        word = f"{bound}={in_toml}"
        said = {"limits": "--limit", "http_limits": "--http-limit"}[table]
        return msgspec.structs.replace(Flags({}), **{table: [word]}), 7, f"{said} {word}"
    if name == "http_names":
        return Flags({name: ["e", "f"]}), ("e", "f"), "--http-name"
    flag = "PATH" if name == "store" else f"--{name.replace('_', '-')}"
    return Flags({name: in_toml.strip('"')}), OTHERS[name][2], flag


def test_without_anything_there_are_defaults() -> None:
    found = configured(Flags(dict.fromkeys(("host", "port"))), {})
    assert found == Configuration(ServeSettings(), {})
    assert (found.settings.limits, found.settings.http_limits) == (Limits(), HttpLimits())
    assert found.origin("port").text == "default"


def test_what_is_empty_in_the_environment_is_not_given() -> None:
    assert configured(Flags({}), {"PALIMPSEST_PORT": "", "PALIMPSEST_CONFIG": ""}).settings == ServeSettings()


def test_the_environment_may_name_the_file(file: Path) -> None:
    file.write_text("port = 5", encoding="utf-8")
    assert configured(Flags({}), {"PALIMPSEST_CONFIG": str(file)}).settings.port == 5


def test_tables_are_laid_on_each_other_entry_by_entry(file: Path) -> None:
    text = '[limits]\ndepth_max = 1\nbranches_max = 1\n[resolvers]\na = "m:a"\nb = "m:b"\n"c.d" = "m:c"\n'
    text += "[http_limits]\npage_items_max = 1\ncallers_max = 1\n"
    environment = {
        "PALIMPSEST_LIMIT_BRANCHES_MAX": "2",
        "PALIMPSEST_HTTP_LIMIT_CALLERS_MAX": "2",
        "PALIMPSEST_RESOLVERS": "b=n:b, e=n:e",
    }
    file.write_text(text, encoding="utf-8")
    found = configured(Flags({}, ["hello_seconds=0.5"], ["e=o:e"], file, ["body_seconds=0.5"]), environment)
    assert found.settings.limits == Limits(depth_max=1, branches_max=2, hello_seconds=0.5)
    assert found.settings.http_limits == HttpLimits(page_items_max=1, callers_max=2, body_seconds=0.5)
    assert found.settings.resolvers == {"a": "m:a", "b": "n:b", "c.d": "m:c", "e": "o:e"}
    assert found.origin("resolvers.b").text == "PALIMPSEST_RESOLVERS"
    assert found.origin("resolvers.c.d").text == f"{file}:7"


# --- what makes no sense ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nprt = 1", "palimpsest.toml:2: there is no setting prt; did you mean port?"),
        ("xyzzy = 1", "palimpsest.toml:1: there is no setting xyzzy; docs/configuration.md lists them"),
        ("[server]\nport = 1", "palimpsest.toml:1: there is no setting server; "),
        ("[limits]\n\nconections_max = 1", "palimpsest.toml:3: there is no setting limits.conections_max; did you mean limits.connections_max?"),
        ("connections_max = 1", "palimpsest.toml:1: there is no setting connections_max; did you mean limits.connections_max?"),
        ('"limits.depth_max" = 1', "palimpsest.toml:1: there is no setting limits.depth_max; "),
        ("limits = 1", "palimpsest.toml:1: limits is a table: write [limits]"),
        ("port = 1\nhttp_limits = []", "palimpsest.toml:2: http_limits is a table: write [http_limits]"),
        ("[limits]\nbody_seconds = 1", "palimpsest.toml:2: there is no setting limits.body_seconds; did you mean http_limits.body_seconds?"),
        ("[http_limits]\ndepth_max = 1", "palimpsest.toml:2: there is no setting http_limits.depth_max; did you mean limits.depth_max?"),
        ("[http_limits]\n\ncallers_max = 0", "palimpsest.toml:3: http_limits.callers_max: 0 is not a whole number above 0"),
        ("http_limits.head_seconds = -1", "palimpsest.toml:1: http_limits.head_seconds: -1 is not a number of seconds above 0"),
        ("port = 65536", "palimpsest.toml:1: port: 65536 is not a whole number from 0 to 65535"),
        ('port = "7411"', "palimpsest.toml:1: port: '7411' is not a whole number"),
        ("port = true", "palimpsest.toml:1: port: True is not a whole number"),
        ("[port]\nx = 1", "palimpsest.toml:1: port: {'x': 1} is not a whole number"),
        ('host = ""', "palimpsest.toml:1: host: '' is not the name of a host"),
        ('http = "7412"', "palimpsest.toml:1: http: '7412' is not HOST:PORT, such as 127.0.0.1:7412 or [::1]:7412"),
        ('http_names = "a"', "palimpsest.toml:1: http_names: 'a' is not a list of names of hosts"),
        ('log_level = "loud"', "palimpsest.toml:1: log_level: 'loud' is not one of debug, info, warning, error"),
        ("limits.depth_max = 0", "palimpsest.toml:1: limits.depth_max: 0 is not a whole number above 0"),
        ("limits.depth_max = 1.5", "palimpsest.toml:1: limits.depth_max: 1.5 is not a whole number above 0"),
        ("limits.hello_seconds = inf", "palimpsest.toml:1: limits.hello_seconds: inf is not a number of seconds above 0"),
        ("limits.hello_seconds = 09:30:00", "palimpsest.toml:1: limits.hello_seconds: datetime.time(9, 30) is not a number"),
        ("resolvers.a = 1", "palimpsest.toml:1: resolvers.a: 1 is not MODULE:FUNCTION"),
        ('tls_key = "x"', "palimpsest.toml:1: tls_key: it goes with tls_cert, the certificate"),
        ("port = 1\nport = 2", "palimpsest.toml:2: this is no TOML: Cannot overwrite a value"),
        ("port = 1\nhost = ", "palimpsest.toml:2: this is no TOML: Invalid value"),
        ("a\n", "palimpsest.toml:1: this is no TOML: "),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused_by_line_and_key(file: Path, text: str, said: str) -> None:
    message = refused(file, text)
    assert message.startswith(said), message


def test_everything_that_is_wrong_is_said_at_once(file: Path) -> None:
    flags = Flags({"port": "x"}, limits=["depth_max=0"])
    message = refused(file, "prt = 1\nport = -1", {"PALIMPSEST_PORT": "tcp://10.0.0.1:7411"}, flags)
    assert message.split("; ") == [
        "palimpsest.toml:1: there is no setting prt",
        "did you mean port?",
        "palimpsest.toml:2: port: -1 is not a whole number from 0 to 65535",
        "PALIMPSEST_PORT: 'tcp://10.0.0.1:7411' is not a whole number from 0 to 65535",
        "--port: 'x' is not a whole number from 0 to 65535",
        "--limit depth_max=0: '0' is not a whole number above 0",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("depth_max", "--limit depth_max: write NAME=NUMBER"),
        ("=1", "--limit =1: write NAME=NUMBER"),
        ("depth=1", "--limit depth=1: there is no limit depth; did you mean depth_max?"),
        ("depth_max=1.5", "--limit depth_max=1.5: '1.5' is not a whole number above 0"),
        ("hello_seconds=nan", "--limit hello_seconds=nan: 'nan' is not a number of seconds above 0"),
    ],
)
def test_a_limit_that_is_none_is_named(file: Path, words: str, said: str) -> None:
    assert refused(file, "", flags=Flags({}, limits=[words])) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("callers_max", "--http-limit callers_max: write NAME=NUMBER"),
        ("caller_max=1", "--http-limit caller_max=1: there is no limit caller_max; did you mean callers_max?"),
        ("depth_max=1", "--http-limit depth_max=1: there is no limit depth_max; did you mean limits.depth_max?"),
        ("callers_max=many", "--http-limit callers_max=many: 'many' is not a whole number above 0"),
    ],
)
def test_a_limit_of_http_that_is_none_is_named(file: Path, words: str, said: str) -> None:
    assert refused(file, "", flags=Flags({}, http_limits=[words])) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a"], "--resolver a: write NAME=MODULE:FUNCTION"),
        (["a=m:f", "a=m:g"], "--resolver a=m:g: a was said before"),
    ],
)
def test_a_resolver_that_is_none_is_named(file: Path, words: list[str], said: str) -> None:
    assert refused(file, "", flags=Flags({}, resolvers=words)) == said


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("PALIMPSEST_LIMIT_DEPTHMAX", "there is no limit depthmax; did you mean depth_max?"),
        ("PALIMPSEST_LIMIT_CALLERS_MAX", "there is no limit callers_max; did you mean http_limits.callers_max?"),
        ("PALIMPSEST_HTTP_LIMIT_CALLERSMAX", "there is no limit callersmax; did you mean callers_max?"),
        ("PALIMPSEST_HTTP_LIMIT_DEPTH_MAX", "there is no limit depth_max; did you mean limits.depth_max?"),
    ],
)
def test_a_limit_of_the_environment_that_is_none_is_refused(file: Path, variable: str, said: str) -> None:
    assert refused(file, "", {variable: "1"}) == f"{variable}: {said}"


def test_other_variables_are_remarked_on_where_they_look_like_a_slip() -> None:
    environment = {
        "PALIMPSEST_PROT": "secret",
        "PALIMPSEST_TOKEN": "secret",
        "PALIMPSEST_SERVICE_HOST": "secret",
        "PALIMPSEST_PORT_7411_TCP_ADDR": "secret",
        "PORT": "1",
    }
    found = configured(Flags({}), environment)
    assert found.remarks == ("PALIMPSEST_PROT in the environment is no setting; did you mean PALIMPSEST_PORT?",)


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(f"{file}: the configuration cannot be read: No such file")):
        configured(Flags({}, config=file), {})
    file.write_bytes(b"port = 1\nhost = '\xff'\n")
    with pytest.raises(UsageError, match=re.escape(f"{file}:2: a configuration is UTF-8, and byte 17 is not")):
        configured(Flags({}, config=file), {})
    file.write_bytes(300_000 * b"#")
    with pytest.raises(UsageError, match="at most 262144 bytes"):
        configured(Flags({}, config=file), {})


def test_what_is_shown_of_a_wrong_value_is_short(file: Path) -> None:
    assert len(refused(file, f'port = "{10_000 * "x"}"')) < 200


# --- one table ---------------------------------------------------------------------------------------------------------


def taken_by(command: str) -> set[str]:
    """Its flags, and the word that stands for its argument."""
    commands: Any = typer.main.get_command(app)
    parameters = commands.get_command(None, command).params
    return {word for parameter in parameters for word in (*parameter.opts, parameter.metavar)}


def test_every_setting_is_a_flag_of_serve() -> None:
    taken = taken_by("serve")
    for setting in SETTINGS.values():
        assert setting.flag.partition(" ")[0] in taken, setting.name
    assert {"--config", "--check"} <= taken


def test_what_concerns_a_gateway_is_a_flag_of_it_and_nothing_else() -> None:
    flags = {setting.flag.partition(" ")[0]: setting.name for setting in SETTINGS.values()}
    taken = taken_by("gateway")
    assert {name for flag, name in flags.items() if flag in taken} == {
        name for name in flags.values() if concerns_gateway(name)
    }
    assert {"--config", "--check"} <= taken
    assert not concerns_gateway("resolvers.newest")


def test_the_values_of_all_settings_are_there_by_name() -> None:
    settings = ServeSettings(port=1, resolvers={"a": "m:a"}, http_limits=HttpLimits(callers_max=2))
    found = by_name(settings)
    assert found.keys() == (SETTINGS.keys() - {"resolvers"}) | {"resolvers.a"}
    assert (found["port"], found["resolvers.a"], found["http_limits.callers_max"]) == (1, "m:a", 2)


def test_every_setting_has_a_name_of_its_own_everywhere() -> None:
    rows = SETTINGS.values()
    assert {row.name for row in rows} >= {*ServeSettings.__struct_fields__} - BOUNDS.keys()
    for table, kind in {"limits": Limits, "http_limits": HttpLimits}.items():
        assert {row.name for row in rows} >= {f"{table}.{name}" for name in kind.__struct_fields__}
    assert len({row.environment for row in rows}) == len({row.flag for row in rows}) == len(rows)


def test_the_page_has_the_same_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \|(?: `([^`]*)`)? \| `([^`]+)` \| `([^`]+)` \|", text, re.MULTILINE)
    written = {name: (default, variable, flag) for name, default, variable, flag in rows}
    assert written == {row.name: (written_default(row.default), row.environment, row.flag) for row in SETTINGS.values()}


def written_default(value: Any) -> str:
    """As TOML has it; "" where there is none."""
    match value:
        case None | ():
            return ""
        case str():
            return f'"{value}"'
        case float():
            return f"{value:g}"
    return str(value)
