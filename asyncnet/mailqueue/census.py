"""Rows of the census and of what ended last, as the store's values.  No I/O.

A damaged row must not hide the others from whoever looks: it is left out.
"""

import contextlib
import json
from collections.abc import Iterable
from typing import Any

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.mending import UNREADABLE, json_text, moment
from asyncnet.mailqueue.rows import Row, told
from asyncnet.mailqueue.store import Census, Depth, Ended


def census_from(depths: Iterable[Row], oldest_at: float | None) -> Census:
    """Rows of depths, and what oldest says."""
    counted = {}
    for route_key, waiting, deferred, held, leased in depths:
        with contextlib.suppress(*UNREADABLE):
            # Deferred ones are among those that wait; both were seen at one moment.
            counted[told(route_key)] = Depth(waiting - deferred, deferred, held, leased)
    return Census(counted, oldest_at)


def ended_from(rows: Iterable[Row]) -> list[Ended]:
    """Rows of latest that can be read."""
    ended = []
    for row in rows:
        with contextlib.suppress(*UNREADABLE):
            ended.append(_ended(row))
    return ended


def _ended(row: Row) -> Ended:
    (queue_id, name, status, route_key, attempts, finished_at, recipients, accepted) = row[:8]
    address, code, text, hint, errors = row[8:]
    return Ended(
        queue_id=told(queue_id),
        name=told(name),
        status=JobStatus(told(status)),
        account="" if route_key is None else told(route_key),
        attempts=attempts,
        finished_at=moment(finished_at),
        recipients=recipients,
        accepted=accepted,
        address=None if address is None else told(address),
        code=code,
        text=_first_mistake(told(errors)) if address is None else told(text),
        hint=None if hint is None else told(hint),
    )


def _first_mistake(errors: str) -> str:
    mistakes: list[Any] = json.loads(json_text(errors, list))
    if not mistakes:
        return ""
    field, problem, *_ = mistakes[0]
    return f"{field}: {problem}" if field else str(problem)
