"""A person's word to messages, as PostgreSQL does it: one step for all of them."""

from collections.abc import Collection

from asyncnet.mail.verdict import JobStatus, RecipientStatus
from asyncnet.mailqueue.postgres_access import Connection
from asyncnet.mailqueue.postgres_link import QUERIES
from asyncnet.mailqueue.postgres_steps import job_row, rows
from asyncnet.mailqueue.rows import Row, instructed_from, octets
from asyncnet.mailqueue.settling import (
    Instruction,
    Standing,
    cancel_text,
    instruction,
    standing_after,
)
from asyncnet.mailqueue.store import Instructed, Settlement, Word


async def instruct(
    connection: Connection, word: Word, queue_ids: Collection[str], reason: str, now: float
) -> tuple[list[Instructed], list[str]]:
    """Say a word to messages: what it did to each, and the owners of those finished by it."""
    ids = sorted(queue_ids)
    before = await rows(connection, "standing", ids)
    done = {}
    for row in before:
        done[row[0]] = step = instruction(word, row[5], row[7], row[10], now)
        await _follow(connection, row, step, word, reason, now)
    after = await rows(connection, "standing", ids)
    owners = [row[11] for row in after if done[row[0]].cancel]
    return [instructed_from(row[:11], done[row[0]].effect) for row in after], owners


async def _follow(
    connection: Connection, row: Row, step: Instruction, word: Word, reason: str, now: float
) -> None:
    job = row[0]
    if step.note:
        lasting = word in (Word.HOLD, Word.CANCEL)
        noted = (word, octets(reason)) if lasting else (None, b"")
        await connection.fetch(QUERIES["note_word"], job, *noted)
    elif step.park:
        await connection.fetch(QUERIES["park"], job, octets(reason))
    elif step.wait is not None:
        await connection.fetch(QUERIES["let_wait"], job, *step.wait)
    elif step.cancel:
        await connection.fetch(QUERIES["cancel_open"], job, octets(cancel_text(reason)))
        canceled = await _canceled(connection, job)
        nothing = Settlement({}, now, counted=False)
        await connection.fetch(QUERIES["settle_job"], *job_row(job, canceled, nothing, now))


async def _canceled(connection: Connection, job: int) -> Standing:
    found = await rows(connection, "recipients", [job])
    reached = [RecipientStatus(row[2]) for row in found]
    return standing_after(reached, Settlement({}, 0.0), JobStatus.QUEUED, hold=False, word=None)
