"""Tables of providers in TOML, read into presets and rules; providers.toml tells the keys.

An administrator's table is laid over the one that comes with the program.  No I/O.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar, get_args

from asyncnet.mail.envelope import TlsMode
from asyncnet.mail.verdict import Kind, Phase, Scope
from asyncnet.providers.presets import EVERYBODY, Catalogue, Preset, ProviderError
from asyncnet.providers.rules import ReplyRule, RuleAction

Word = TypeVar("Word", bound=StrEnum)
Converter = Callable[[Any], Any]

EMPTY = Catalogue({}, {})


def parse(text: str) -> Catalogue:
    """Read a table of providers.  Raises ProviderError, nothing else."""
    presets, rules = _read(text, EMPTY)
    return Catalogue(presets, rules)


def overlaid(base: Catalogue, text: str, where: str) -> Catalogue:
    """The base with an administrator's table over it; where is its place, for errors.

    Of a preset that the base has, the given keys take the place of the base's, whole; others are
    added.  Its rules come before all of the base's.  Raises ProviderError, nothing else.
    """
    try:
        presets, rules = _read(text, base)
    except ProviderError as error:
        raise ProviderError(f"{where}: {error}") from error
    first = {name: rules.get(name, ()) + base.first_rules.get(name, ()) for name in rules}
    return Catalogue(presets, base.rules, {**base.first_rules, **first})


def _read(text: str, base: Catalogue) -> tuple[dict[str, Preset], dict[str, tuple[ReplyRule, ...]]]:
    """The base's presets with the text's, by name and alias, and the text's rules alone."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProviderError(str(error)) from error
    _refuse_unknown("", table, ("preset", "rules"))
    rules = {
        name: _rules(f"rules.{name}", entries)
        for name, entries in _table("rules", table.get("rules", {})).items()
    }
    presets = {preset.name: preset for preset in base.presets.values()}
    for name, entry in _table("preset", table.get("preset", {})).items():
        if name in base.presets and name not in presets:
            owner = base.presets[name].name
            raise ProviderError(
                f"preset.{name}: is another name of {owner!r}; write preset.{owner}"
            )
        presets[name] = _preset(presets.get(name, Preset(name)), entry, {*base.rules, *rules})
    used = {EVERYBODY}.union(*((p.name, *p.rules) for p in presets.values()))
    for name in rules:
        if name not in used:
            raise ProviderError(f"rules.{name}: no preset has this list: {_nearest(name, used)}")
    return _by_every_name(presets.values()), rules


def _by_every_name(presets: Iterable[Preset]) -> dict[str, Preset]:
    found: dict[str, Preset] = {}
    for preset in presets:
        for key in (preset.name, *preset.aliases):
            if key in found:
                raise ProviderError(
                    f"preset.{preset.name}: {key!r} is the name of another preset too"
                )
            found[key] = preset
    return found


def _preset(before: Preset, entry: object, lists: Iterable[str]) -> Preset:
    where = f"preset.{before.name}"
    preset = replace(before, **_converted(where, entry, _PRESET_KEYS))
    for name in (preset.name, *preset.aliases):
        if name != name.lower():
            raise ProviderError(f"{where}: {name!r} is to be written in small letters")
    for wanted in preset.rules:
        if wanted not in lists:
            raise ProviderError(
                f"{where}: rules: there is no list of rules named {_nearest(wanted, lists)}"
            )
    if preset.port not in preset.ports:
        raise ProviderError(
            f"{where}: ports does not tell what port {preset.port} speaks; "
            f'write ports = {{ {preset.port} = "starttls" }}, say'
        )
    return preset


def _rules(where: str, entries: object) -> tuple[ReplyRule, ...]:
    if not isinstance(entries, list):
        raise ProviderError(f"{where}: {entries!r} is no list of tables; write [[{where}]]")
    return tuple(_rule(f"{where}[{place}]", entry) for place, entry in enumerate(entries))


def _rule(where: str, entry: object) -> ReplyRule:
    values = _converted(where, entry, _RULE_KEYS)
    if "kind" not in values:
        raise ProviderError(f"{where}: kind is missing")
    return ReplyRule(**values)


def _converted(where: str, entry: object, keys: Mapping[str, Converter]) -> dict[str, Any]:
    """The entry's values in the types of the fields they are for."""
    table = _table(where, entry)
    _refuse_unknown(where, table, keys)
    values = {}
    for key, value in table.items():
        try:
            values[key] = keys[key](value)
        except (ValueError, TypeError, AttributeError, OverflowError, re.error) as error:
            raise ProviderError(f"{where}: {key}: {error}") from error
    return values


def _table(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ProviderError(f"{where}: {value!r} is no table")
    return value


def _refuse_unknown(where: str, entry: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in entry:
        if key not in known:
            raise ProviderError(f"{where or 'the table'}: unknown key {_nearest(key, known)}")


def _nearest(word: str, known: Iterable[str]) -> str:
    """The word in quotes, and what it was perhaps meant to be."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(words)}"
    return f"{word!r}; {advice}"


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
    # A day is what the schedules end at, a year is a mistake; this refuses nan and inf, too.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 31536000:
        raise ValueError(f"{value!r} is no number of seconds")
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _word(kind: type[Word]) -> Converter:
    """What reads one word of an enumeration."""
    known = [str(word) for word in kind]

    def convert(value: object) -> Word:
        if value not in known:
            raise ValueError(f"unknown word {_nearest(_text(value), known)}")
        return kind(value)

    return convert


def _choice(value: object, known: tuple[str, ...]) -> object:
    if value not in known:
        raise ValueError(f"{value!r} is none of {', '.join(known)}")
    return value


def _ports(value: Mapping[str, object]) -> dict[int, object]:
    ports = {}
    for port, mode in value.items():
        if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
            raise ValueError(f"{port!r} is no port")
        ports[int(port)] = _choice(mode, get_args(TlsMode))
    return ports


def _codes(value: list[object]) -> frozenset[int]:
    codes = frozenset(_number(code) for code in value)
    if not all(200 <= code <= 599 for code in codes):
        raise ValueError("a code is 200 to 599")
    return codes


def _charset(value: object) -> str:
    charset = _text(value)
    try:
        readable = b"250".decode(charset) == "250"
    except (LookupError, UnicodeError):
        readable = False
    if not readable:
        raise ValueError(f'{charset!r} is no charset for replies; write "gb18030", say')
    return charset


_phase = _word(Phase)

_PRESET_KEYS: Mapping[str, Converter] = {
    "aliases": _texts,
    "host": _text,
    "port": _number,
    "ports": _ports,
    "charset": _charset,
    "rules": _texts,
    "connections": _number,
    "messages_per_connection": _number,
    "recipients": _number,
    "octets": _number,
    "interval_s": _seconds,
    "connection_s": _seconds,
    "no_rset": _flag,
    "from_is_login": _flag,
    "credential": _text,
    "token_url": _text,
    "scope": _text,
    "limits": _text,
}

_RULE_KEYS: Mapping[str, Converter] = {
    "kind": _word(Kind),
    "phases": lambda value: frozenset(_phase(phase) for phase in _texts(value)),
    "codes": _codes,
    "enhanced": _texts,
    "text": lambda value: re.compile(_text(value), re.IGNORECASE),
    "scope": _word(Scope),
    "final": _flag,
    "tries": _number,
    "delay_s": _seconds,
    "delay_max_s": _seconds,
    "action": lambda value: _choice(value, get_args(RuleAction)),
    "hint": _text,
}
