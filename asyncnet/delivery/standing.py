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
    failures = before.failures + 1 if before.state == name else 1
    verdict = judgement.verdict
    reason = verdict.text if verdict.code is None else f"{verdict.code} {verdict.text}".strip()
    return AccountState(
        name=before.name,
        state=name,
        until=now + probe_delay_s(judgement, failures),
        since=now if before.state == "ok" else before.since,
        failures=failures,
        reason=reason,
        hint=verdict.hint,
    )


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
