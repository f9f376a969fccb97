"""How an account stands: what trouble makes of it, and what a restart or success.  No I/O.

The states lie in the store and outlive us.  One that is held until infinity is a person's
doing and only a person ends it; none made here lasts for ever.
"""

import math
from dataclasses import replace
from typing import Literal

from asyncnet.delivery.judgement import Judgement
from asyncnet.delivery.schedule import LOGIN_PROBES_S, probe_delay_s
from asyncnet.mail.verdict import Kind
from asyncnet.mailqueue.store import AccountState

UNKNOWN_REASON = "there is no such account in the settings"
UNKNOWN_HINT = "put the account into the settings, or right there, and restart"
UNKNOWN_S = 3600.0  # only a restart brings it back

UNUSABLE_HINT = "put the account's settings right; they are looked at again by themselves"


HELD_REASON = "held by a person"
HELD_HINT = "asyncnet account release lets its mail go"

RELEASED_REASON = "released by a person; its last login was bad, the next one decides"

# Between what holds an account and what has kept us since from trying whether it still does.
SINCE_THEN = "; and since then: "

# Everything else is "down": it heals by itself.
_NAMES: dict[Kind | None, Literal["throttled", "held", "down"]] = {
    Kind.THROTTLE: "throttled",
    Kind.AUTH: "held",
    Kind.QUOTA: "held",
    Kind.SENDER: "held",
}


def troubled(before: AccountState, judgement: Judgement, now: float) -> AccountState:
    """The state after trouble; trouble of the same sort in a row waits longer each time."""
    name: Literal["throttled", "held", "down"] = _NAMES.get(judgement.kind, "down")
    was_held = before.state == "held" and before.failures and before.hint != UNUSABLE_HINT
    if was_held and name != "held":
        return _still_held(before, judgement, now)
    failures = before.failures + 1 if _same_sort(before, name, judgement) else 1
    return AccountState(
        name=before.name,
        state=name,
        until=now + probe_delay_s(judgement, failures),
        since=now if before.state == "ok" else before.since,
        failures=failures,
        reason=_reason(judgement),
        hint=judgement.verdict.hint,
    )


def _still_held(before: AccountState, judgement: Judgement, now: float) -> AccountState:
    """The server could not even be asked whether the hold is over: it stands, with its count.

    QQ lets TLS handshakes stall after a bad login.  Who took that for an outage, and forgot the
    login, would try the bad password every few seconds.
    """
    delay_s = max(probe_delay_s(judgement, before.failures), LOGIN_PROBES_S[0])
    reason = before.reason.partition(SINCE_THEN)[0] + SINCE_THEN + _reason(judgement)
    return replace(before, until=now + delay_s, reason=reason)


def _same_sort(before: AccountState, name: str, judgement: Judgement) -> bool:
    if before.state != name or judgement.kind is Kind.QUOTA:  # its login was taken
        return False
    # Settings that cannot be used cost no login, so they do not count as one.
    return (before.hint == UNUSABLE_HINT) == (judgement.verdict.hint == UNUSABLE_HINT)


def _reason(judgement: Judgement) -> str:
    verdict = judgement.verdict
    return verdict.text if verdict.code is None else f"{verdict.code} {verdict.text}".strip()


def held(before: AccountState, now: float, reason: str = "") -> AccountState:
    """The state that a person puts an account into; failures are kept for the release."""
    since = before.since if held_by_person(before) else now
    reason = reason or HELD_REASON
    return AccountState(before.name, "held", math.inf, since, before.failures, reason, HELD_HINT)


def released(before: AccountState) -> AccountState:
    """The state that a person's release leaves: tried at once, whatever it waited for.

    The count of bad logins stays: if the next is bad, too, its wait is as long as if nobody had
    released it, so that no number of releases makes a row of logins that locks the account.
    """
    if before.state != "held" or not before.failures:
        return AccountState(before.name)
    if held_by_person(before):
        before = replace(before, reason=RELEASED_REASON, hint=None)
    return replace(before, until=0.0)


def unknown(name: str, now: float, reason: str = UNKNOWN_REASON) -> AccountState:
    """The state of an account that mail waits for and that the settings do not describe."""
    return AccountState(name, "held", now + UNKNOWN_S, now, 1, reason, UNKNOWN_HINT)


def held_by_person(state: AccountState) -> bool:
    return state.state == "held" and math.isinf(state.until)


def at_start(state: AccountState) -> AccountState | None:
    """The state that a fresh start puts in its place, or None to leave it.

    Whoever restarts has often just put something right, so trouble is looked at anew.  A bad
    login is, too, but keeps its count and never exceeds the four of the first day: a service
    that restarts in a loop must not lock the account.
    """
    if state.state == "ok" or held_by_person(state):
        return None
    if state.hint == UNKNOWN_HINT:
        return AccountState(state.name)
    harmless = state.state == "down" or state.hint == UNUSABLE_HINT  # no login is tried
    if harmless or (state.state == "held" and state.failures < len(LOGIN_PROBES_S)):
        return replace(state, until=0.0)
    return None
