"""The settings' file: TOML and the environment in, Settings out.

Everything is validated here, once.  A mistake is told with file, line and key, and all mistakes at
once.
"""

import difflib
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from asyncnet.config.sections import Settings

ENVIRONMENT_PREFIX = "ASYNCNET_"
CONFIG_VARIABLE = "ASYNCNET_CONFIG"


class ConfigError(Exception):
    """The settings cannot be used.  problems holds one line for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def find_config(explicit: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The file to read, or None for the built-in defaults.

    --config and $ASYNCNET_CONFIG name one and are believed even when it is missing (the
    reading then fails and says so); the usual places are only looked at.
    """
    if explicit is not None:
        return explicit
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE])
    user_folder = environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    usual = [
        Path("config/asyncnet.toml"),
        Path(user_folder) / "asyncnet/asyncnet.toml",
        Path("/etc/asyncnet/asyncnet.toml"),
    ]
    return next((path for path in usual if path.is_file()), None)


def load(explicit: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read, override and validate the settings.  Raises ConfigError, nothing else."""
    path = find_config(explicit, environment)
    text = "" if path is None else _read(path)
    where = "built-in defaults" if path is None else str(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{where}: {error}"]) from error
    overridden = _override(raw, environment)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        problems = [
            _describe(problem, where, text, overridden)
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigError(problems) from None  # the cause would print the input, secrets included
    _check_values(settings, path, where, text)
    return settings


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 (octet {error.start})"]) from error


def _check_values(settings: Settings, path: Path | None, where: str, text: str) -> None:
    """A password written into the file is only accepted from a file nobody else can read."""
    if path is None or sys.platform == "win32" or not path.stat().st_mode & 0o077:
        return
    problems = [
        f"{where}, line {_line_of(('account', name, *keys), text)}: "
        f"[account.{name}] {'.'.join(keys)}: "
        f"the file can be read by others; chmod 600 {where}, or use env, file or command"
        for name, account in settings.account.items()
        for keys, source in account.secret_sources()
        if source.value is not None
    ]
    if settings.queue.server is not None and _has_password(settings.queue.server):
        problems.append(
            f"{where}, line {_line_of(('queue', 'url'), text)}: [queue] url: the file can be read "
            f"by others; chmod 600 {where}, or leave the password to $PGPASSWORD or ~/.pgpass"
        )
    if problems:
        raise ConfigError(problems)


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.password is not None or "password=" in parts.query
    except ValueError:
        return True


def _override(raw: dict[str, Any], environment: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Put ASYNCNET_SECTION__KEY=value into raw; the value is TOML where it reads as such."""
    taken: dict[tuple[str, ...], str] = {}
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        keys = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
        try:
            value = tomllib.loads(f"value = {environment[name]}")["value"]
        except tomllib.TOMLDecodeError:
            value = environment[name]
        table = raw
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise ConfigError([f"environment variable {name}: {key} is no section"])
        table[keys[-1]] = value
        taken[keys] = name
    return taken


def _describe(
    problem: Mapping[str, Any], where: str, text: str, overridden: Mapping[tuple[str, ...], str]
) -> str:
    """One line for one mistake: place, key, what is wrong, what would be right."""
    location = tuple(problem["loc"])
    names = tuple(str(part) for part in location if isinstance(part, str))
    if names in overridden:
        place = f"environment variable {overridden[names]}"
    else:
        line = _line_of(names, text)
        place = f"{where}, line {line}" if line else where
    if problem["type"] == "extra_forbidden":
        known = list(_known_keys(location[:-1]))
        near = difflib.get_close_matches(names[-1], known, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
        return f"{place}: {_spell(location)}: unknown key; {advice}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{place}: {_spell(location)}: {message}"


def _spell(location: tuple[object, ...]) -> str:
    """("account", "work", "port") as "[account.work] port"."""
    parts = [str(part) for part in location]
    depth = 2 if parts[0] == "account" and len(parts) > 1 else 1
    return f"[{'.'.join(parts[:depth])}] {'.'.join(parts[depth:])}".strip()


def _known_keys(path: tuple[object, ...]) -> Iterator[str]:
    """The keys of the section at path, following the models."""
    model: Any = Settings
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[str(part)].annotation
        elif get_origin(model) is dict:
            model = get_args(model)[1]
        if get_origin(model) in (Union, UnionType):
            model = next(kind for kind in get_args(model) if kind is not type(None))
    if isinstance(model, type) and issubclass(model, BaseModel):
        yield from model.model_fields


def _line_of(names: tuple[str, ...], text: str) -> int | None:
    """The line of a key, found by its spelling, since tomllib keeps no positions."""
    section: tuple[str, ...] = ()
    best: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        key = re.match(r"\s*([\w.\"'-]+)\s*=", line)
        if header:
            section = tuple(part.strip(" \"'") for part in header[1].split("."))
            found = section
        elif key:
            found = (*section, *(part.strip(" \"'") for part in key[1].split(".")))
        else:
            continue
        if names[: len(found)] == found and (best is None or len(found) > best[0]):
            best = (len(found), number)
    return best[1] if best else None
