"""The steps of a job's life as SQLite does them: each function is one operation of the writer.

Each runs inside a savepoint: what it raises undoes it alone.  Nothing here reads a clock,
touches a file or knows of asyncio.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.connection import QUERIES
from asyncnet.mailqueue.damage import fetched, reached, set_aside
from asyncnet.mailqueue.mending import UNREADABLE
from asyncnet.mailqueue.rows import (
    Row,
    json_list,
    kept,
    lease_from,
    recipient_row,
    told,
)
from asyncnet.mailqueue.settling import IN_DOUBT_AT_START, judged, standing_after
from asyncnet.mailqueue.store import Acceptance, Lease, LeaseLost, Settlement
from asyncnet.mailqueue.turns import Turns
from asyncnet.mailqueue.words import cancel

PURGE_ROWS = 500  # a step: the writer is nobody's alone for long

# Bound once: a mapping lookup per statement is measurable at this rate.
_PRESENT_TURN = QUERIES["present_turn"]
_INSERT_MESSAGE = QUERIES["insert_message"]
_INSERT_RECIPIENT = QUERIES["insert_recipient"]
_INSERT_CONTENT = QUERIES["insert_content"]
_FIND_TWIN = QUERIES["find_twin"]
_MARK_DOT = QUERIES["mark_dot"]
_LEASED_JOB = QUERIES["leased_job"]
_SETTLE_RECIPIENT = QUERIES["settle_recipient"]
_FINISH = QUERIES["finish"]
_WAIT_AGAIN = QUERIES["wait_again"]


def accept(
    cursor: apsw.Cursor,
    row: Row,
    recipients: Sequence[str],
    inline: bytes | None,
    twins: Row | None,
    due_at: float,
    now: float,
    turns: Turns,
) -> Acceptance:
    """Insert a message; twins holds find_twin's parameters if it has an idempotency key.

    inline None says that the content lies in its file.
    """
    twin = cursor.execute(_FIND_TWIN, twins).fetchone() if twins is not None else None
    state: Row
    if twin is None:
        turn = _turn(cursor, row, turns) if due_at <= now else 0
        state = (JobStatus.QUEUED, "waiting", inline is None, due_at, None, turn)
    else:
        state = (JobStatus.DUPLICATE, "finished", False, None, now, 0)
    cursor.execute(_INSERT_MESSAGE, row + state)
    if not cursor.connection.changes():
        return Acceptance.KNOWN
    job = cursor.connection.last_insert_rowid()
    cursor.executemany(
        _INSERT_RECIPIENT,
        [(job, position, kept(address)) for position, address in enumerate(recipients)],
    )
    if twin is not None:
        cursor.execute(QUERIES["cancel_recipients"], (job, f"duplicate of {twin[0]}"))
        return Acceptance.DUPLICATE
    if inline is not None:
        cursor.execute(_INSERT_CONTENT, (job, inline))
    return Acceptance.QUEUED


def _turn(cursor: apsw.Cursor, row: Row, turns: Turns) -> int:
    lane, reverse_path = (row[5], row[15]), row[11]
    if not turns.knows(lane):
        first = cursor.execute(_PRESENT_TURN, lane).fetchone()
        turns.now_at(lane, None if first is None else first[0])
    return turns.take(lane, reverse_path)


def refuse(cursor: apsw.Cursor, row: Row) -> None:
    """Insert a job that is finished from the start."""
    cursor.execute(QUERIES["insert_refusal"], row)


@dataclass(frozen=True, slots=True)
class Leased:
    """What a lease step gives, and how many it had to set aside."""

    leases: list[Lease]
    set_aside: int = 0


def lease(cursor: apsw.Cursor, now: float, limit: int, passing_over: str, turns: Turns) -> Leased:
    """Lease what is over, then what is due, limit in all; passing_over is a JSON list."""
    ids = _leased_now(cursor, fetched(cursor, "over", now, limit))
    if len(ids) < limit:
        ids += _leased_now(cursor, fetched(cursor, "due", now, limit - len(ids), passing_over))
    if not ids:
        return Leased([])
    turns.move_on()
    try:
        return Leased(_leases(cursor, ids))
    except UNREADABLE:
        return _leases_one_by_one(cursor, ids, now)


def _leased_now(cursor: apsw.Cursor, found: list[Row]) -> list[int]:
    ids = [job for (job,) in found]
    if ids:
        cursor.execute(QUERIES["lease"], (json_list(ids),))
    return ids


def _leases(cursor: apsw.Cursor, ids: list[int]) -> list[Lease]:
    recipients: dict[int, list[tuple[int, str]]] = {job: [] for job in ids}
    listed = json_list(ids)
    for job, position, address in fetched(cursor, "open_recipients", listed):
        recipients[job].append((position, told(address)))
    return [
        lease_from(row, recipients[row[0]]) for row in fetched(cursor, "leased_messages", listed)
    ]


def _leases_one_by_one(cursor: apsw.Cursor, ids: list[int], now: float) -> Leased:
    """Without those that cannot be read, which are finished with the reason."""
    good, reasons = [], []
    for job in ids:
        try:
            _leases(cursor, [job])
            good.append(job)
        except UNREADABLE as error:
            reasons.append(str(error))
            set_aside(cursor, job, str(error), now)
    return Leased(_leases(cursor, good), len(reasons))


def unlease(cursor: apsw.Cursor, leases: Sequence[Lease], now: float) -> None:
    """Give back leases that nobody received, as if they had never been."""
    cursor.executemany(QUERIES["unlease"], [(lease.queue_id, lease.fence) for lease in leases])
    for lease in leases:
        for row in cursor.execute(_LEASED_JOB, (lease.queue_id, lease.fence)).fetchall():
            _settle(cursor, row, Settlement({}, now, counted=False), now)


def mark_dot(cursor: apsw.Cursor, lease: Lease) -> None:
    """Raises LeaseLost."""
    cursor.execute(_MARK_DOT, (lease.queue_id, lease.fence))
    if not cursor.connection.changes():
        raise LeaseLost(f"{lease.queue_id} is leased to another by now")


def settle(cursor: apsw.Cursor, lease: Lease, settlement: Settlement, now: float) -> bool:
    """Whether the job is finished.  Raises LeaseLost."""
    row = cursor.execute(_LEASED_JOB, (lease.queue_id, lease.fence)).fetchone()
    if row is None:
        raise LeaseLost(f"{lease.queue_id} is leased to another by now")
    return _settle(cursor, row, settlement, now)


def judge_at_start(cursor: apsw.Cursor, now: float) -> None:
    """Take back every lease; those with a dot mark are in doubt."""
    cursor.execute(QUERIES["take_back_leases"])
    for (job,) in fetched(cursor, "leased_ids"):
        try:
            _judge(cursor, job, now)
        except UNREADABLE as error:
            set_aside(cursor, job, str(error), now)
    for (job,) in fetched(cursor, "incomplete"):
        set_aside(cursor, job, "it names no account or no time", now)


def _judge(cursor: apsw.Cursor, job: int, now: float) -> None:
    ((*row, dot),) = fetched(cursor, "left_leased", job)
    open_ones = fetched(cursor, "open_recipients", json_list([job])) if dot else []
    verdicts = {position: IN_DOUBT_AT_START for _, position, _ in open_ones}
    _settle(cursor, tuple(row), Settlement(verdicts, now, counted=bool(dot)), now)


def clock_put_back(cursor: apsw.Cursor, by_s: float, before: float) -> None:
    cursor.execute(QUERIES["put_back_due"], (by_s, before))
    cursor.execute(QUERIES["put_back_accounts"], (by_s,))


def mark_reported(cursor: apsw.Cursor, queue_ids: str) -> list[str]:
    """Drop small contents; return the queue ids whose content files are to go."""
    jobs = fetched(cursor, "mark_reported", queue_ids)
    cursor.execute(QUERIES["drop_content"], (json_list(job for job, _, _ in jobs),))
    return [queue_id for _, queue_id, in_file in jobs if in_file]


def set_account_state(cursor: apsw.Cursor, row: Row) -> None:
    cursor.execute(QUERIES["set_account_state"], row)


def purge(cursor: apsw.Cursor, before: float) -> int:
    """Forget up to PURGE_ROWS jobs; return how many."""
    cursor.execute(QUERIES["purge"], (before, PURGE_ROWS))
    return cursor.connection.changes()


def unfinished_files(cursor: apsw.Cursor) -> frozenset[str]:
    """The queue ids whose content file is still needed."""
    found = fetched(cursor, "unfinished_files")
    return frozenset(queue_id.decode("utf-8", "replace") for (queue_id,) in found)


def _settle(cursor: apsw.Cursor, leased: Row, settlement: Settlement, now: float) -> bool:
    job, status, on_doubt, word, note = leased
    verdicts, hold = judged(settlement, on_doubt)
    rows = [recipient_row(job, it.position, it.verdict, it.possible_duplicate) for it in verdicts]
    cursor.executemany(_SETTLE_RECIPIENT, rows)
    standing = standing_after(reached(cursor, job), settlement, status, hold=hold, word=word)
    tls = None if settlement.tls is None else json.dumps(dict(settlement.tls))
    tail = (settlement.counted, kept(settlement.server), tls)
    if standing.cancel:
        cancel(cursor, job, told(note), now, tail)
    elif standing.finished:
        cursor.execute(_FINISH, (job, standing.status, now, *tail))
    else:
        due_at = settlement.due_at
        cursor.execute(_WAIT_AGAIN, (job, standing.stage, standing.status, due_at, *tail))
    return standing.finished
