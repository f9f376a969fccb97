"""What a recipient's address asks the sink to do wrong: a local part in, a misdeed out.

Whoever sets up a mail job wants to see what happens when things go wrong, and no provider
fails on demand.  The sink does, by the recipient's name, the same way each time:

    DEED [-CODE or -TIME] [-PLACE] [-once or -twice] [+ANYTHING] @ any domain

    reject     refuses, with CODE (4yz or 5yz; 550 unless given)
    defer      refuses, with CODE (451 unless given)
    drop       closes the connection in place of the answer
    hang       never answers, until the client leaves (or 300 s have passed)
    delay      answers as usual, after TIME (as 300ms or 2s; 1 s unless given)

    rcpt       at RCPT, where only this recipient suffers (the place unless one is given)
    data       at the DATA command, before the content
    dot        at the end of the content, which is not kept
    after-dot  at the end of the content, when it has been kept: with drop or hang, the
               client cannot know that the mail arrived (RFC 1047)

    once, twice    so many times for this very address; then all is well
    +ANYTHING      tells addresses apart that ask for the same

So `reject-550@example.org` is an unknown mailbox, `defer-451-once@…` greylisting,
`reject-554-dot@…` a content filter, `reject-421@…` a server that goes away (421 closes the
connection), `drop-after-dot-once@…` a mail in doubt, `delay-5s-dot@…` a slow filter.  Every
other address is an ordinary recipient.  One that starts with a deed but does not follow the
grammar is refused with 501: a typing error must not look like a success.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

_FIRST_WORD = re.compile(r"(reject|defer|drop|hang|delay)(?=[-+]|$)")
_GRAMMAR = re.compile(
    r"(?P<deed>(?:reject|defer)(?:-(?P<code>[45][0-9][0-9]))?"
    r"|drop|hang"
    r"|delay(?:-(?P<time>[0-9]{1,5})(?P<unit>ms|s))?)"
    r"(?:-(?P<place>rcpt|data|dot|after-dot))?"
    r"(?:-(?P<times>once|twice))?"
    r"(?:\+.*)?"
)
_DEFAULT_CODES = {"reject": 550, "defer": 451}
_TIMES = {"once": 1, "twice": 2, None: None}


class Deed(StrEnum):
    REFUSE = "refuse"
    DROP = "drop"
    HANG = "hang"
    DELAY = "delay"


class Place(StrEnum):
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"
    AFTER_DOT = "after-dot"


class NoSuchMisdeed(ValueError):
    """The address starts with a deed and goes on with what the grammar does not know."""


@dataclass(frozen=True, slots=True)
class Misdeed:
    """code is for REFUSE, delay_s for DELAY; times None means always."""

    deed: Deed
    place: Place
    times: int | None = None
    code: int = 0
    delay_s: float = 0.0


def misdeed_of(address: str) -> Misdeed | None:
    """What the address asks for, or None for an ordinary recipient.  Raises NoSuchMisdeed."""
    local = address.rpartition("@")[0].lower()
    first = _FIRST_WORD.match(local)
    if first is None:
        return None
    match = _GRAMMAR.fullmatch(local)
    if match is None:
        raise NoSuchMisdeed(local)
    place = Place(match["place"] or "rcpt")
    times = _TIMES[match["times"]]
    if first[1] in _DEFAULT_CODES:
        code = int(match["code"] or _DEFAULT_CODES[first[1]])
        return Misdeed(Deed.REFUSE, place, times, code=code)
    if first[1] == "delay":
        scale = 0.001 if match["unit"] == "ms" else 1.0
        return Misdeed(Deed.DELAY, place, times, delay_s=int(match["time"] or 1) * scale)
    return Misdeed(Deed(first[1]), place, times)
