"""What is known of the providers: hosts, limits, credentials, and how their replies are read.

The values alone; table.py reads them from TOML.  No I/O.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from asyncnet.mail.envelope import TlsMode
from asyncnet.providers.rules import ReplyRule, RuleBook

EVERYBODY = "any"  # the list of rules that every account has, after its own

Rules = Mapping[str, tuple[ReplyRule, ...]]


class ProviderError(Exception):
    """A table of providers or a preset's name is wrong; str() tells what would be right."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of one provider.  None: no limit is known, or there is no single value.

    ports tells what each port speaks.  octets is the largest message the server takes,
    recipients the most in one transaction, interval_s the least time between two messages,
    connection_s the longest life of a connection.  from_is_login: it sends only for the address
    that logs in.  limits are the provider's own, in words.
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
    from_is_login: bool = False
    credential: str | None = None
    token_url: str | None = None
    scope: str | None = None
    limits: str | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All presets by name and alias, and the lists of rules by name.

    first_rules are an administrator's: all of an account's come before any of the others.
    """

    presets: Mapping[str, Preset]
    rules: Rules
    first_rules: Rules = field(default_factory=dict)

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
        """The rules of a preset, then everybody's; of no preset, everybody's alone.

        A list that bears the preset's own name is the preset's, too.
        """
        lists = (preset.name, *preset.rules, EVERYBODY) if preset else (EVERYBODY,)
        rules = tuple(
            rule
            for source in (self.first_rules, self.rules)
            for name in lists
            for rule in source.get(name, ())
        )
        if preset is None:
            return RuleBook(rules)
        return RuleBook(rules, preset.credential, preset.limits)
