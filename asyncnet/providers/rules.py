"""How a provider's replies are to be read: rules as data, the first that fits decides.

RFC 5321 section 4.2 gives the codes, RFC 3463 the enhanced ones; what providers mean by them
stands in providers.toml.  No I/O.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from asyncnet.mail.verdict import Kind, Phase, Scope

RuleAction = Literal["next_transaction", "fewer_connections"]


@dataclass(frozen=True, slots=True)
class ReplyRule:
    """One line of a provider's table.  An empty condition fits everything.

    scope None: the usual one of the kind; final None: as kind and code say.  delay_s is doubled
    each time in a row up to delay_max_s, or stays where that is None.  tries: the attempt at
    which it fails at last.
    """

    kind: Kind
    phases: frozenset[Phase] = frozenset()
    codes: frozenset[int] = frozenset()
    enhanced: tuple[str, ...] = ()
    text: re.Pattern[str] | None = None
    scope: Scope | None = None
    final: bool | None = None
    tries: int | None = None
    delay_s: float | None = None
    delay_max_s: float | None = None
    action: RuleAction | None = None
    hint: str | None = None

    def fits(self, phase: Phase, code: int, enhanced: str | None, text: str) -> bool:
        """Whether every condition that is given holds; enhanced is "5.7.8" or None."""
        return (
            (not self.phases or phase in self.phases)
            and (not self.codes or code in self.codes)
            and (not self.enhanced or _begins_with(enhanced, self.enhanced))
            and (self.text is None or self.text.search(text) is not None)
        )


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The rules of one account in their order, what its login wants and what its quotas are."""

    rules: tuple[ReplyRule, ...] = ()
    credential: str | None = None
    limits: str | None = None

    def find(self, phase: Phase, code: int, enhanced: str | None, text: str) -> ReplyRule | None:
        """The first rule that fits, or None."""
        for rule in self.rules:
            if rule.fits(phase, code, enhanced, text):
                return rule
        return None


def _begins_with(enhanced: str | None, beginnings: Iterable[str]) -> bool:
    # A dot at both ends keeps "5.2" from fitting "5.20.1".
    return enhanced is not None and any(f"{enhanced}.".startswith(f"{b}.") for b in beginnings)
