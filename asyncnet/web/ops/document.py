"""The queue as a document: what /queue.json says and the queue page shows.  No I/O.

Names and times are those of `account list --json` and of results.
"""

import math
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from asyncnet.mailqueue.store import AccountState, Depth, Ended
from asyncnet.web.ops.survey import Survey, is_server

SCHEMA = 1
MAX_SERVERS = 100  # of those that jobs name themselves; who has more wants the total alone

Document = dict[str, Any]


def describe(survey: Survey) -> Document:
    """The document; messages and oldest_at are null where no store is, or none answers."""
    census = survey.census
    oldest_at = None if census is None else census.oldest_at
    if oldest_at is not None and oldest_at > survey.at:
        oldest_at = None  # it waits for its send_at
    keys = sorted({*survey.states, *(census.depths if census else ())})
    servers = [key for key in keys if is_server(key)]
    return {
        "schema": SCHEMA,
        "at": moment(survey.at),
        "ready": not survey.reasons,
        "reasons": survey.reasons,
        "messages": None if census is None else _messages(total_of(census.depths.values())),
        "oldest_at": moment(oldest_at),
        "oldest_age_s": None if oldest_at is None else round(survey.at - oldest_at, 3),
        "accounts": [_account(key, survey) for key in keys if not is_server(key)],
        "servers": [_account(key, survey) for key in servers[:MAX_SERVERS]],
        "servers_left_out": max(0, len(servers) - MAX_SERVERS),
        "results": [_result(ended) for ended in survey.latest],
    }


def total_of(depths: Collection[Depth]) -> Depth:
    """All of them together."""
    return Depth(
        queued=sum(it.queued for it in depths),
        deferred=sum(it.deferred for it in depths),
        held=sum(it.held for it in depths),
        sending=sum(it.sending for it in depths),
    )


def moment(at: float | None) -> str | None:
    """The time as results write it; None where no date says it."""
    if at is None or not 0.0 <= at < 253_402_300_800.0:  # the year 10000
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _account(key: str, survey: Survey) -> Document:
    state = survey.states.get(key, AccountState(key))
    depth = survey.census.depths.get(key, Depth()) if survey.census else Depth()
    return {
        "name": key,
        "state": state.state,
        "since": moment(state.since) if state.state != "ok" else None,
        "until": moment(state.until) if survey.at < state.until < math.inf else None,
        "held_by_person": state.state == "held" and math.isinf(state.until),
        "failures": state.failures,
        "reason": state.reason,
        "hint": state.hint,
        "messages": _messages(depth),
    }


def _messages(depth: Depth) -> Document:
    return {
        "queued": depth.queued,
        "deferred": depth.deferred,
        "sending": depth.sending,
        "held": depth.held,
    }


def _result(ended: Ended) -> Document:
    return {
        "queue_id": ended.queue_id,
        "name": ended.name,
        "status": str(ended.status),
        "account": ended.account or None,
        "attempts": ended.attempts,
        "finished_at": moment(ended.finished_at),
        "recipients": ended.recipients,
        "accepted": ended.accepted,
        "address": ended.address,
        "code": ended.code,
        "text": ended.text,
        "hint": ended.hint,
    }
