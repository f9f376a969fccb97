"""`asyncnet explain`: what a server's reply means, what asyncnet does about it, what you can do.

The reply is judged as the delivery agent would judge it, by the same rules.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from asyncnet.cli import exit_codes
from asyncnet.cli.exit_codes import CommandFailed
from asyncnet.cli.pasted import GOES_ON, as_meant, guessed, joined, phase_of, read_reply
from asyncnet.cli.printing import span
from asyncnet.cli.settings import read_providers
from asyncnet.delivery.judgement import BEFORE_MAIL, Action, Judgement, judge_reply
from asyncnet.delivery.schedule import probe_delay_s
from asyncnet.mail.verdict import Kind, Phase, RecipientStatus, Scope
from asyncnet.providers.presets import Catalogue, Preset, ProviderError
from asyncnet.providers.rules import ReplyRule
from asyncnet.smtp.reply import Reply

MAX_OCTETS = 64 * 1024  # of what is pasted

_MEANINGS = {
    Kind.GREYLIST: "a first mail from an unknown sender is put off on purpose",
    Kind.TRANSIENT: "a passing trouble",
    Kind.RECONNECT: "this connection is used up",
    Kind.THROTTLE: "the server wants less mail at a time",
    Kind.QUOTA: "the account has sent as much as it may for now",
    Kind.AUTH: "the login does not hold",
    Kind.TLS: "no safe connection",
    Kind.NETWORK: "the server cannot be used",
    Kind.DNS: "the server's name is not found",
    Kind.RECIPIENT: "the address does not take mail",
    Kind.CONTENT: "the message itself is refused",
    Kind.SIZE: "the message is too large",
    Kind.SENDER: "the sender is refused",
    Kind.PROTOCOL: "the server lost the thread",
}
_CONCERNS = {
    Scope.RECIPIENT: "this recipient; the others go on",
    Scope.MESSAGE: "this message, for all its recipients",
    Scope.CONNECTION: "this connection",
    Scope.ACCOUNT: "the account; none of its mail fails, and no attempt is used up",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A reply, where it was taken to come from, and the judgement on it."""

    reply: Reply
    phase: Phase
    phase_assumed: bool
    code_assumed: bool
    preset: Preset | None
    rule: ReplyRule | None
    rule_of_all: bool
    judgement: Judgement

    @property
    def goes_on(self) -> bool:
        """Whether it is no trouble at all, and decides nothing."""
        return self.reply.code in GOES_ON.get(self.phase, ())


def run(
    words: Sequence[str],
    config: Path | None,
    preset: str | None,
    phase: str | None,
    *,
    as_json: bool,
) -> int:
    """Explain the reply that words make up; "-" alone reads it from standard input."""
    text = _from_stdin() if list(words) == ["-"] else joined(words)
    explanation = explain(text, read_providers(config), preset, phase)
    if as_json:
        print(json.dumps(_document(explanation), ensure_ascii=False, indent=2))
    else:
        _print(explanation)
    return exit_codes.OK


def explain(
    text: str, providers: Catalogue, preset_name: str | None, phase_name: str | None
) -> Explanation:
    """Judge a reply as it was pasted.  Raises CommandFailed."""
    try:
        preset = providers.by_name(preset_name) if preset_name is not None else None
    except ProviderError as error:
        raise CommandFailed(exit_codes.USAGE, [str(error)]) from error
    book = providers.rule_book(preset)
    text = as_meant(text[:MAX_OCTETS], preset)
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    wanted = Phase(phase_name) if phase_name is not None else None
    reply = read_reply(lines) or guessed(lines, book, wanted)
    if reply is None:
        raise CommandFailed(exit_codes.USAGE, _no_reply(lines, preset))
    phase = wanted or phase_of(reply, book)
    enhanced, words = reply.divided()
    rule = book.find(phase, reply.code, enhanced, words)
    return Explanation(
        reply=reply,
        phase=phase,
        phase_assumed=wanted is None,
        code_assumed=read_reply(lines) is None,
        preset=preset,
        rule=rule,
        rule_of_all=rule in providers.rule_book(None).rules,
        judgement=judge_reply(phase, reply, book),
    )


def _from_stdin() -> str:
    """A log may hold any octets; those that are no UTF-8 are kept as arguments have them."""
    return sys.stdin.buffer.read(MAX_OCTETS).decode("utf-8", "surrogateescape")


def _no_reply(lines: Sequence[str], preset: Preset | None) -> list[str]:
    if not lines:
        return ['give the reply, such as: asyncnet explain "550 5.1.1 No such user"']
    more = "" if preset is not None else "; with --preset NAME its provider's rules are asked, too"
    return [
        f"{lines[0][:200]!r} is no reply, and no rule knows its words: a reply begins with its "
        f"code, 200 to 599{more}"
    ]


# What follows from it, in words.


def _means(it: Explanation) -> str:
    judgement = it.judgement
    if judgement.verdict.status is RecipientStatus.ACCEPTED:
        return "accepted: the server has taken the message over"
    if it.goes_on:
        return "all is well"
    assert judgement.kind is not None
    return f"{judgement.kind}: {_MEANINGS[judgement.kind]}"


def _does(it: Explanation) -> str:
    judgement = it.judgement
    if it.goes_on:
        return "goes on"
    match judgement.action:
        case Action.DONE if judgement.verdict.status is RecipientStatus.ACCEPTED:
            return "notes it; nothing that comes later changes it"
        case Action.DONE:
            return "gives up at once, and says so in the result"
        case Action.NEXT_TRANSACTION | Action.ITS_TURN:
            return "sends to the others, and to this one in another transaction at once"
        case Action.RECONNECT:
            return "opens a new connection and tries again at once; if that fails, too, it waits"
        case Action.FEWER_CONNECTIONS:
            return f"has one connection less from then on; {_waits(judgement)}"
        case Action.HOLD_ACCOUNT:
            return _waits(judgement)
    again = "tries again by the schedule of the queue"
    if judgement.delay_s is not None:
        again = f"tries again after {span(judgement.delay_s)}"
    if it.rule is not None and it.rule.tries is not None:
        return f"{again}, {it.rule.tries} times in all, and then gives up"
    return again


def _waits(judgement: Judgement) -> str:
    first, *later = [span(seconds) for seconds in _probes(judgement)]
    slower = ", and sends slower after that" if judgement.kind is Kind.THROTTLE else ""
    if not later:
        return f"lets the account wait {first}, again and again until it works{slower}"
    then = ", ".join(later)
    return f"lets the account wait {first}; while it does not work, {then} and so on{slower}"


def _probes(judgement: Judgement) -> list[float]:
    """How long an account waits each time in a row, up to where it stays the same."""
    steps = [probe_delay_s(judgement, 1)]
    while (longer := probe_delay_s(judgement, len(steps) + 1)) > steps[-1]:
        steps.append(longer)
    return steps


def _print(it: Explanation) -> None:
    console = Console(soft_wrap=True, highlight=False)
    enhanced, text = it.reply.divided()
    said = " ".join(filter(None, (str(it.reply.code), enhanced, text)))
    console.print(f"[bold]{escape(said)}[/]")
    phase = f"{it.phase}{' (assumed; --phase says it)' if it.phase_assumed else ''}"
    rows = {
        "means": f"[bold]{escape(_means(it))}[/]",
        "concerns": "" if it.goes_on else _CONCERNS[it.judgement.scope],
        "asyncnet": escape(_does(it)),
        "advice": "" if it.goes_on else escape(it.judgement.verdict.hint or ""),
        "known by": _known_by(it),
        "phase": phase,
    }
    for label, value in rows.items():
        if value:
            console.print(f"  {label:<9} {value}")


def _known_by(it: Explanation) -> str:
    if it.code_assumed:
        return "its words alone; the code is a guess"
    if it.rule is None:
        return "" if it.goes_on else "its code alone: no rule knows it"
    if it.preset is None or it.rule_of_all:
        return "a rule for all servers"
    return f"a rule for {it.preset.name}"


def _document(it: Explanation) -> dict[str, Any]:
    judgement, verdict = it.judgement, it.judgement.verdict
    account = judgement.scope is Scope.ACCOUNT
    said = {
        "code": it.reply.code,
        "enhanced": verdict.enhanced,
        "text": verdict.text,
        "preset": it.preset.name if it.preset else None,
        "phase": str(it.phase),
        "phase_assumed": it.phase_assumed,
        "code_assumed": it.code_assumed,
        "known": it.rule is not None,
        "does": _does(it),
    }
    if it.goes_on:
        return said
    return said | {
        "class": str(judgement.kind) if judgement.kind is not None else None,
        "scope": str(judgement.scope),
        "status": str(verdict.status),
        "action": judgement.action.value,
        "waits_s": _probes(judgement) if account else _delay(judgement),
        "tries": it.rule.tries if it.rule is not None else None,
        "counts_as_attempt": not account and it.phase not in BEFORE_MAIL,
        "hint": verdict.hint,
    }


def _delay(judgement: Judgement) -> list[float]:
    return [] if judgement.delay_s is None else [judgement.delay_s]
