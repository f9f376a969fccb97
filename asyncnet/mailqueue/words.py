"""A person's word to messages, as SQLite does it: steps of the writer, as in steps.py."""

import apsw

from asyncnet.mail.verdict import job_status
from asyncnet.mailqueue.connection import QUERIES
from asyncnet.mailqueue.damage import fetched, reached
from asyncnet.mailqueue.rows import Row, instructed_from, kept
from asyncnet.mailqueue.settling import cancel_text, instruction
from asyncnet.mailqueue.store import Effect, Instructed, Word


def instruct(
    cursor: apsw.Cursor, word: Word, queue_ids: str, reason: str, now: float
) -> list[Instructed]:
    """Say a word to the messages of a JSON list of queue ids; what it did to each."""
    before = fetched(cursor, "standing", queue_ids)
    effects = {row[0]: _instruct(cursor, word, row, reason, now) for row in before}
    after = fetched(cursor, "standing", queue_ids)
    return [instructed_from(row, effects[row[0]]) for row in after]


def cancel(
    cursor: apsw.Cursor, job: int, reason: str, now: float, tail: Row = (0, None, None)
) -> None:
    """End a job: its open recipients are canceled."""
    cursor.execute(QUERIES["cancel_open"], (job, kept(cancel_text(reason))))
    cursor.execute(QUERIES["finish"], (job, job_status(reached(cursor, job)), now, *tail))


def _instruct(cursor: apsw.Cursor, word: Word, standing: Row, reason: str, now: float) -> Effect:
    job, stage, due_at, tried = standing[0], standing[5], standing[7], standing[10]
    step = instruction(word, stage, due_at, tried, now)
    if step.note:
        lasting = word in (Word.HOLD, Word.CANCEL)
        noted = (word, kept(reason)) if lasting else (None, "")
        cursor.execute(QUERIES["note_word"], (job, *noted))
    elif step.cancel:
        cancel(cursor, job, reason, now)
    elif step.park:
        cursor.execute(QUERIES["park"], (job, kept(reason)))
    elif step.wait is not None:
        cursor.execute(QUERIES["let_wait"], (job, *step.wait))
    return step.effect
