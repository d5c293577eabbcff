"""What `serve` and `gateway` are told, from wherever it is told: flags before the environment, that before a file, that before the defaults.

Pure but for `read_file`. Each place becomes a layer, names of settings with what was given and where; layers lie on each other, and what
comes out is one `ServeSettings`. Whatever is wrong is found before anything is started, all of it at once.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from palimpsest.cli.settings import BOUNDS, PREFIX, SETTINGS, TABLES, ServeSettings, Setting
from palimpsest.cli.toml_lines import Key, key_lines
from palimpsest.errors import UsageError

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
_FILE_BYTES_MAX = 256 * 1024
_OTHERS = frozenset(PREFIX + name for name in ("CONFIG", "URL", "TOKEN", "CA", "CERT", "KEY", "COMPLETE"))
"""What the program reads of the environment and is no setting."""
_SHOWN_CHARACTERS_MAX = 80
_PLACE_IN_TOML = re.compile(r"\(at line (\d+), column \d+\)")


class Origin(msgspec.Struct, frozen=True):
    """text: as `--check` shows it, such as `palimpsest.toml:7`, `PALIMPSEST_PORT` or `--port`."""

    place: Literal["default", "file", "environment", "flag"]
    text: str

    def where(self, name: str) -> str:
        """How a message about the setting of that name begins."""
        match self.place:
            case "file":
                return f"{self.text}: {name}"
            case "default":
                return name
        return self.text


class Given(msgspec.Struct, frozen=True):
    """What a place says of one setting. is_word: it is text that is still to be read, as of a flag."""

    value: Any
    origin: Origin
    is_word: bool = True


Layer = Mapping[str, Given]
"""By the setting's name; resolvers as `resolvers.NAME`."""

DEFAULT = Origin("default", "default")


class Configuration(msgspec.Struct, frozen=True):
    """What is in effect. origins: of what is not the default, by the setting's name. remarks: what may be a mistake."""

    settings: ServeSettings
    origins: Mapping[str, Origin]
    remarks: tuple[str, ...] = ()

    def origin(self, name: str) -> Origin:
        return self.origins.get(name, DEFAULT)


class Flags(msgspec.Struct, frozen=True):
    """What the command line says. plain: by the setting's name. limits, resolvers, http_limits: the words after each `--limit`, `--resolver` and
    `--http-limit`."""

    plain: Mapping[str, str | Sequence[str] | None]
    limits: Sequence[str] = ()
    resolvers: Sequence[str] = ()
    config: Path | None = None
    http_limits: Sequence[str] = ()


def configured(flags: Flags, environment: Mapping[str, str]) -> Configuration:
    """Reads the file that is named, if one is, and lays all of it on the defaults. Raises UsageError, which says all that is wrong."""
    problems: list[str] = []
    named = flags.config or environment.get(CONFIG_VARIABLE)
    layers = [
        of_file(*read_file(Path(named)), problems) if named else {},
        of_environment(environment, problems),
        of_flags(flags, problems),
    ]
    found = lay(layers, problems)
    if problems:
        raise UsageError("; ".join(problems))
    return msgspec.structs.replace(found, remarks=tuple(_unknown_variables(environment)))


# --- places ----------------------------------------------------------------------------------------------------------


def read_file(path: Path) -> tuple[str, str]:
    """(name, text) of a file. Raises UsageError where it cannot be read or is far too large."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{path}: the configuration cannot be read: {error.strerror}") from error
    if len(content) > _FILE_BYTES_MAX:
        raise UsageError(f"{path}: a configuration has at most {_FILE_BYTES_MAX} bytes")
    try:
        return str(path), content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: a configuration is UTF-8, and byte {error.start} is not") from error


def of_file(name: str, text: str, problems: list[str]) -> Layer:
    """name: of the file, for messages. Raises UsageError where the text is no TOML, naming its line."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _PLACE_IN_TOML.search(str(error))
        line = found[1] if found is not None else text.count("\n") + 1
        raise UsageError(f"{name}:{line}: this is no TOML: {_PLACE_IN_TOML.sub('', str(error)).strip()}") from error
    lines = key_lines(text)
    layer: dict[str, Given] = {}
    for key, value in _leaves(tree, name, lines, problems):
        dotted = ".".join(key)
        where = f"{name}:{lines[key]}"
        if "." in key[0] or _setting(dotted) is None:
            problems.append(f"{where}: there is no setting {dotted}{_nearest(dotted)}")
        else:
            layer[dotted] = Given(value, Origin("file", where), is_word=False)
    return layer


def _leaves(
    tree: dict[str, Any], name: str, lines: Mapping[Key, int], problems: list[str]
) -> Iterable[tuple[Key, Any]]:
    for key, value in tree.items():
        if key not in TABLES:
            yield (key,), value
        elif isinstance(value, dict):
            yield from (((key, each), inner) for each, inner in value.items())
        else:
            problems.append(f"{name}:{lines[key,]}: {key} is a table: write [{key}]")


def of_environment(environment: Mapping[str, str], problems: list[str]) -> Layer:
    """What is empty counts as not given."""
    layer: dict[str, Given] = {}
    for setting in SETTINGS.values():
        text = environment.get(setting.environment)
        if not text:
            continue
        origin = Origin("environment", setting.environment)
        if setting.name == "resolvers":
            words = [word.strip() for word in text.split(",")]
            _add_pairs(layer, "resolvers", words, lambda word, said=origin: said, problems)
        else:
            layer[setting.name] = Given(_listed(setting, text), origin)
    for table in BOUNDS:
        problems += _unknown_bounds(table, environment)
    return layer


def _unknown_bounds(table: str, environment: Mapping[str, str]) -> Iterable[str]:
    prefix = f"{PREFIX}{table[:-1].upper()}_"
    for name in sorted(environment):
        bound = name.removeprefix(prefix).lower()
        if name.startswith(prefix) and f"{table}.{bound}" not in SETTINGS:
            yield f"{name}: there is no limit {bound}{_nearest(f'{table}.{bound}', within=table)}"


def _listed(setting: Setting, text: str) -> Any:
    return [word.strip() for word in text.split(",")] if isinstance(setting.default, tuple) else text


def _unknown_variables(environment: Mapping[str, str]) -> Iterable[str]:
    """Those that look like ours. Only a remark: other programs make up names for what they start, too. Values are never shown."""
    known = {setting.environment for setting in SETTINGS.values()} | _OTHERS
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known and not name.startswith("_"):
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if close:
                yield f"{name} in the environment is no setting; did you mean {close[0]}?"


def of_flags(flags: Flags, problems: list[str]) -> Layer:
    layer: dict[str, Given] = {}
    for name, word in flags.plain.items():
        if word is not None:
            flag = SETTINGS[name].flag.partition(" ")[0]
            layer[name] = Given(word, Origin("flag", flag))
    _add_pairs(layer, "limits", flags.limits, lambda word: Origin("flag", f"--limit {word}"), problems)
    _add_pairs(layer, "http_limits", flags.http_limits, lambda word: Origin("flag", f"--http-limit {word}"), problems)
    _add_pairs(layer, "resolvers", flags.resolvers, lambda word: Origin("flag", f"--resolver {word}"), problems)
    return layer


def _add_pairs(layer: dict[str, Given], table: str, words: Iterable[str], origin: Any, problems: list[str]) -> None:
    """words: NAME=VALUE each."""
    for word in words:
        name, equals, value = word.partition("=")
        key = f"{table}.{name}"
        where: Origin = origin(word)
        if not equals or not name:
            problems.append(f"{where.text}: write {'NAME=NUMBER' if table in BOUNDS else 'NAME=MODULE:FUNCTION'}")
        elif _setting(key) is None:
            problems.append(f"{where.text}: there is no limit {name}{_nearest(key, within=table)}")
        elif table == "resolvers" and key in layer:
            problems.append(f"{where.text}: {name} was said before")
        else:
            layer[key] = Given(value, where)


# --- what comes of them ----------------------------------------------------------------------------------------------


def lay(layers: Sequence[Layer], problems: list[str]) -> Configuration:
    """layers: a later one counts for more. What is wrong is added to problems, also where a later layer hides it."""
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for layer in layers:
        for name, given in layer.items():
            try:
                values[name] = accept(name, given)
                origins[name] = given.origin
            except ValueError as error:
                problems.append(f"{given.origin.where(name)}: {error}")
    bounds: dict[str, Any] = {table: kind(**_of_table(table, values)) for table, kind in BOUNDS.items()}
    plain = {name: value for name, value in values.items() if "." not in name}
    settings = ServeSettings(resolvers=_of_table("resolvers", values), **bounds, **plain)
    for name in ("tls_key", "tls_client_ca"):
        if name in values and settings.tls_cert is None:
            problems.append(f"{origins[name].where(name)}: it goes with tls_cert, the certificate")
    return Configuration(settings, origins)


def _of_table(table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """By the key inside of it."""
    return {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{table}.")}


def accept(name: str, given: Given) -> Any:
    """The value that is meant. Raises ValueError, which says what is allowed."""
    setting = _setting(name)
    assert setting is not None, name
    kind = str if name.startswith("resolvers.") else setting.kind
    value = given.value
    if given.is_word and isinstance(value, str) and isinstance(setting.default, (int, float)):
        value = value.strip().replace("_", "")
    try:
        found = msgspec.convert(value, kind, strict=not given.is_word)
        if isinstance(found, float) and not math.isfinite(found):
            raise ValueError("it has no end")
        if setting.check is not None:
            setting.check(found)
    except (msgspec.ValidationError, ValueError) as error:
        shown = f"{given.value!r:.{_SHOWN_CHARACTERS_MAX}}"
        raise ValueError(f"{shown} is not {setting.allowed}") from error
    return found


def _setting(name: str) -> Setting | None:
    """Of a name that may be one of `resolvers`, which has as many as are given."""
    table, dot, _ = name.partition(".")
    if table == "resolvers":
        return SETTINGS["resolvers"] if dot else None
    return SETTINGS.get(name)


def _nearest(name: str, *, within: str = "") -> str:
    """What may have been meant, as it ends a message. within: the table that the name was looked for in, and was written without."""
    close = difflib.get_close_matches(name, SETTINGS, n=1, cutoff=0.6)
    if not close:
        return "; docs/configuration.md lists them"
    return f"; did you mean {close[0].removeprefix(f'{within}.')}?"
