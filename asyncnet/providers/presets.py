"""Presets of providers, read from TOML: hosts, limits, credentials and reply rules.  No I/O."""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from asyncnet.mail.envelope import TlsMode
from asyncnet.mail.verdict import Kind, Phase, Scope
from asyncnet.providers.rules import ReplyRule, RuleAction, RuleBook

EVERYBODY = "any"  # the list of rules that every account has, after its own


class ProviderError(Exception):
    """The table of providers is wrong; str() tells the place and what would be right."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of one provider.  None: no limit is known, or there is no single value.

    ports tells what each port speaks.  octets is the largest message the server takes,
    recipients the most in one transaction, interval_s the least time between two messages,
    connection_s the longest life of a connection.
    """

    name: str
    aliases: tuple[str, ...] = ()
    host: str | None = None
    port: int = 587
    ports: Mapping[int, TlsMode] = field(default_factory=dict)
    charset: str = "latin-1"
    rules: tuple[str, ...] = ()
    connections: int | None = None
    messages_per_connection: int | None = None
    recipients: int | None = None
    octets: int | None = None
    interval_s: float = 0.0
    connection_s: float | None = None
    no_rset: bool = False
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All presets by name and alias, and the lists of rules by name."""

    presets: Mapping[str, Preset]
    rules: Mapping[str, tuple[ReplyRule, ...]]

    def by_name(self, name: str) -> Preset:
        """The preset of that name or alias.  Raises ProviderError with the nearest one."""
        preset = self.presets.get(name.lower())
        if preset is not None:
            return preset
        near = difflib.get_close_matches(name.lower(), self.presets, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(self.presets)}"
        raise ProviderError(f"unknown preset {name!r}; {advice}")

    def by_host(self, host: str) -> Preset | None:
        """The preset whose server that is: who writes the host alone gets its rules too."""
        name = host.lower().rstrip(".")
        return next((p for p in self.presets.values() if p.host == name), None)

    def rule_book(self, preset: Preset | None) -> RuleBook:
        """The rules of a preset, then everybody's; of no preset, everybody's alone."""
        lists = (*(preset.rules if preset else ()), EVERYBODY)
        rules = tuple(rule for name in lists for rule in self.rules.get(name, ()))
        return RuleBook(rules, preset.credential if preset else None)


def parse(text: str) -> Catalogue:
    """Read a table of providers.  Raises ProviderError, nothing else."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProviderError(str(error)) from error
    _refuse_unknown("", table, ("preset", "rules"))
    rules = {
        name: _rules(f"rules.{name}", entries)
        for name, entries in _table("rules", table.get("rules", {})).items()
    }
    presets: dict[str, Preset] = {}
    for name, entry in _table("preset", table.get("preset", {})).items():
        preset = _preset(name, entry, rules)
        for key in (name, *preset.aliases):
            if key in presets:
                raise ProviderError(f"preset.{name}: {key!r} is the name of another preset too")
            presets[key] = preset
    return Catalogue(presets, rules)


def _preset(name: str, entry: object, rules: Mapping[str, object]) -> Preset:
    where = f"preset.{name}"
    values = _converted(where, entry, _PRESET_KEYS)
    for wanted in values.get("rules", ()):
        if wanted not in rules:
            raise ProviderError(f"{where}: there is no list of rules named {wanted!r}")
    preset = Preset(name, **values)
    if preset.port not in preset.ports:
        raise ProviderError(f"{where}: ports does not tell what port {preset.port} speaks")
    return preset


def _rules(where: str, entries: object) -> tuple[ReplyRule, ...]:
    if not isinstance(entries, list):
        raise ProviderError(f"{where}: {entries!r} is no list of tables")
    return tuple(_rule(f"{where}[{place}]", entry) for place, entry in enumerate(entries))


def _rule(where: str, entry: object) -> ReplyRule:
    values = _converted(where, entry, _RULE_KEYS)
    if "kind" not in values:
        raise ProviderError(f"{where}: kind is missing")
    return ReplyRule(**values)


def _converted(
    where: str, entry: object, keys: Mapping[str, Callable[[Any], Any]]
) -> dict[str, Any]:
    """The entry's values in the types of the fields they are for."""
    table = _table(where, entry)
    _refuse_unknown(where, table, keys)
    values = {}
    for key, value in table.items():
        try:
            values[key] = keys[key](value)
        except (ValueError, TypeError, AttributeError, re.error) as error:
            raise ProviderError(f"{where}: {key}: {error}") from error
    return values


def _table(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ProviderError(f"{where}: {value!r} is no table")
    return value


def _refuse_unknown(where: str, entry: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(key, list(known), n=1)
            advice = f"; did you mean {near[0]!r}?" if near else ""
            raise ProviderError(f"{where or 'the table'}: unknown key {key!r}{advice}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list of texts")
    return tuple(_text(item) for item in value)


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{value!r} is no whole number above 0")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no number of seconds")
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _action(value: object) -> object:
    if value not in get_args(RuleAction):
        raise ValueError(f"{value!r} is none of {', '.join(get_args(RuleAction))}")
    return value


def _ports(value: Mapping[str, object]) -> dict[int, object]:
    for mode in value.values():
        if mode not in get_args(TlsMode):
            raise ValueError(f"{mode!r} is none of {', '.join(get_args(TlsMode))}")
    return {_number(int(port)): mode for port, mode in value.items()}


def _codes(value: list[object]) -> frozenset[int]:
    codes = frozenset(_number(code) for code in value)
    if not all(200 <= code <= 599 for code in codes):
        raise ValueError("a code is 200 to 599")
    return codes


_PRESET_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "aliases": _texts,
    "host": _text,
    "port": _number,
    "ports": _ports,
    "charset": _text,
    "rules": _texts,
    "connections": _number,
    "messages_per_connection": _number,
    "recipients": _number,
    "octets": _number,
    "interval_s": _seconds,
    "connection_s": _seconds,
    "no_rset": _flag,
    "credential": _text,
}

_RULE_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "kind": Kind,
    "phases": lambda value: frozenset(Phase(phase) for phase in _texts(value)),
    "codes": _codes,
    "enhanced": _texts,
    "text": lambda value: re.compile(_text(value), re.IGNORECASE),
    "scope": Scope,
    "final": _flag,
    "tries": _number,
    "delay_s": _seconds,
    "delay_max_s": _seconds,
    "action": _action,
    "hint": _text,
}
