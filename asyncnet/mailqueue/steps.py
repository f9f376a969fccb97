"""The steps of a job's life as SQLite does them: each function is one operation of the writer.

Each runs inside a savepoint: what it raises undoes it alone.  Nothing here reads a clock,
touches a file or knows of asyncio.
"""

import json
from collections.abc import Iterable, Sequence

import apsw

from asyncnet.mail.verdict import (
    JobStatus,
    Phase,
    RecipientStatus,
    Verdict,
    job_status,
)
from asyncnet.mailqueue.connection import QUERIES
from asyncnet.mailqueue.rows import (
    Row,
    json_list,
    kept,
    lease_from,
    recipient_row,
    told,
)
from asyncnet.mailqueue.store import Acceptance, Lease, LeaseLost, Settlement

PURGE_ROWS = 500  # a step: the writer is nobody's alone for long

# Bound once: a mapping lookup per statement is measurable at this rate.
_INSERT_MESSAGE = QUERIES["insert_message"]
_INSERT_RECIPIENT = QUERIES["insert_recipient"]
_INSERT_CONTENT = QUERIES["insert_content"]
_FIND_TWIN = QUERIES["find_twin"]
_MARK_DOT = QUERIES["mark_dot"]
_LEASED_JOB = QUERIES["leased_job"]
_SETTLE_RECIPIENT = QUERIES["settle_recipient"]
_FINISH = QUERIES["finish"]
_WAIT_AGAIN = QUERIES["wait_again"]

_IN_DOUBT_AT_START = Verdict(
    RecipientStatus.IN_DOUBT,
    phase=Phase.DOT,
    text="the daemon ended between the final dot and the server's reply",
)


def accept(
    cursor: apsw.Cursor,
    row: Row,
    recipients: Sequence[str],
    inline: bytes | None,
    twins: Row | None,
    due_at: float,
    now: float,
) -> Acceptance:
    """Insert a message; twins holds find_twin's parameters if it has an idempotency key.

    inline None says that the content lies in its file.
    """
    twin = cursor.execute(_FIND_TWIN, twins).fetchone() if twins is not None else None
    state: Row
    if twin is None:
        state = (JobStatus.QUEUED, "waiting", inline is None, due_at, None)
    else:
        state = (JobStatus.DUPLICATE, "finished", False, None, now)
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


def refuse(cursor: apsw.Cursor, row: Row) -> None:
    """Insert a job that is finished from the start."""
    cursor.execute(QUERIES["insert_refusal"], row)


def lease(cursor: apsw.Cursor, now: float, limit: int, passing_over: str) -> list[Lease]:
    """Lease what is over, then what is due, limit in all; passing_over is a JSON list."""
    jobs = _rows(cursor, "lease_expired", now, limit)
    if len(jobs) < limit:
        jobs += _rows(cursor, "lease_due", now, limit - len(jobs), passing_over)
    if not jobs:
        return []
    ids = json_list(job for (job,) in jobs)
    recipients: dict[int, list[tuple[int, str]]] = {job: [] for (job,) in jobs}
    for job, position, address in _rows(cursor, "open_recipients", ids):
        recipients[job].append((position, told(address)))
    return [lease_from(row, recipients[row[0]]) for row in _rows(cursor, "leased_messages", ids)]


def unlease(cursor: apsw.Cursor, leases: Iterable[Lease]) -> None:
    """Give back leases that nobody received, as if they had never been."""
    cursor.executemany(QUERIES["unlease"], [(lease.queue_id, lease.fence) for lease in leases])


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
    for row in _rows(cursor, "doubtful"):
        open_ones = _rows(cursor, "open_recipients", json_list(row[:1]))
        verdicts = {position: _IN_DOUBT_AT_START for _, position, _ in open_ones}
        _settle(cursor, row, Settlement(verdicts, due_at=now), now)


def mark_reported(cursor: apsw.Cursor, queue_ids: str) -> list[str]:
    """Drop small contents; return the queue ids whose content files are to go."""
    jobs = _rows(cursor, "mark_reported", queue_ids)
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
    return frozenset(queue_id for (queue_id,) in _rows(cursor, "unfinished_files"))


def _rows(cursor: apsw.Cursor, query: str, *parameters: float | str) -> list[Row]:
    return cursor.execute(QUERIES[query], parameters).fetchall()


def _settle(cursor: apsw.Cursor, leased: Row, settlement: Settlement, now: float) -> bool:
    job, status, on_doubt = leased
    hold = settlement.hold
    rows = []
    for position, verdict in settlement.verdicts.items():
        possible_duplicate = False
        if verdict.status is RecipientStatus.IN_DOUBT and on_doubt != "fail":
            verdict, possible_duplicate = _still_open(verdict), True
            hold = hold or on_doubt == "hold"
        rows.append(recipient_row(job, position, verdict, possible_duplicate))
    cursor.executemany(_SETTLE_RECIPIENT, rows)
    reached = _rows(cursor, "recipient_statuses", job)
    statuses = [RecipientStatus(value) for (value,) in reached]
    tls = None if settlement.tls is None else json.dumps(dict(settlement.tls))
    tail = (settlement.counted, kept(settlement.server), tls)
    if all(value.final for value in statuses):
        cursor.execute(_FINISH, (job, job_status(statuses), now, *tail))
        return True
    if settlement.counted or rows:
        status = JobStatus.DEFERRED
    stage = "held" if hold else "waiting"
    status = JobStatus.HELD if hold else status
    cursor.execute(_WAIT_AGAIN, (job, stage, status, settlement.due_at, *tail))
    return False


def _still_open(verdict: Verdict) -> Verdict:
    """The same words, but the recipient is not final: it will be, or may be, tried again."""
    return Verdict(
        RecipientStatus.DEFERRED,
        verdict.code,
        verdict.enhanced,
        verdict.phase,
        verdict.kind,
        verdict.text,
        verdict.hint,
    )
