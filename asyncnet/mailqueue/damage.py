"""Damaged rows of the SQLite file: mended in their place, and finished where nothing can be sent.

Steps of the writer, as in steps.py.  What a row may say after that stands in mending.py.
"""

from collections.abc import Sequence
from typing import Any

import apsw

from asyncnet.mail.verdict import JobStatus, RecipientStatus, job_status
from asyncnet.mailqueue.connection import QUERIES
from asyncnet.mailqueue.mending import UNREADABLE, mended_job, mended_recipient
from asyncnet.mailqueue.rows import Row, json_list, kept


def set_aside(cursor: apsw.Cursor, job: int, why: str, now: float) -> None:
    """Finish a job whose row is damaged: nobody more gets its mail, and its result tells why."""
    mend(cursor, job, now)
    text = f"not sent: its record in the queue is damaged ({why})"
    hint = "drop the job again: it lies in failed/, or is still where it came from"
    cursor.execute(QUERIES["refuse_open"], (job, text, hint))
    statuses = reached(cursor, job)
    status = job_status(statuses) if statuses else JobStatus.FAILED
    cursor.execute(QUERIES["finish"], (job, status, now, 0, None, None))


def mend(cursor: apsw.Cursor, job: int, now: float) -> None:
    """Put what can be saved of a damaged row in its place."""
    (row,) = fetched(cursor, "raw_job", job)
    cursor.execute(QUERIES["mend_job"], tuple(map(_kept_text, mended_job(row, now))))
    for recipient in fetched(cursor, "raw_recipients", job):
        mended = tuple(map(_kept_text, mended_recipient(recipient)))
        cursor.execute(QUERIES["mend_recipient"], (job, *mended))


def mend_unreported(cursor: apsw.Cursor, limit: int) -> None:
    """Mend all of the finished that are to be reported next: it costs little, and is rare."""
    statement = f"SELECT id FROM ({QUERIES['unreported']})"
    ids: list[Row] = cursor.execute(statement, (limit,)).fetchall()
    for (job,) in ids:
        mend(cursor, job, 0.0)


def _kept_text(value: Any) -> Any:
    return kept(value) if isinstance(value, str) else value


def reached(cursor: apsw.Cursor, job: int) -> list[RecipientStatus]:
    """The statuses of a job's recipients; those that cannot be read are mended first."""
    try:
        return [RecipientStatus(value) for (value,) in fetched(cursor, "recipient_statuses", job)]
    except UNREADABLE:
        mend(cursor, job, 0.0)
    return [RecipientStatus(value) for (value,) in fetched(cursor, "recipient_statuses", job)]


def all_reached(cursor: apsw.Cursor, jobs: Sequence[int]) -> dict[int, set[RecipientStatus]]:
    """The same for each of many jobs."""
    try:
        found: dict[int, set[RecipientStatus]] = {job: set() for job in jobs}
        for job, status in fetched(cursor, "statuses", json_list(jobs)):
            found[job].add(RecipientStatus(status))
    except UNREADABLE:
        return {job: set(reached(cursor, job)) for job in jobs}
    return found


def fetched(cursor: apsw.Cursor, query: str, *parameters: float | str) -> list[Row]:
    """All rows of a named query.  Raises UnicodeDecodeError on a damaged one."""
    return cursor.execute(QUERIES[query], parameters).fetchall()
