"""Handing a claimed job over to the store: composed and accepted, or refused with its reasons."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from asyncnet.mail.letter import Content, ContentError, Letter
from asyncnet.mail.problem import Problem
from asyncnet.mailqueue.store import Acceptance, Claim, Refusal, Store
from asyncnet.mime.errors import UnsafeText
from asyncnet.mime.message import compose
from asyncnet.spool.assemble import Assembled, FilesMissing, Rules, assemble
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job import Job
from asyncnet.spool.taking import Taken

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class TooEarly(Exception):
    """The job's files may still be under way: hand it over again when wait_s have passed."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"again in {wait_s:.1f} s")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class HandOver:
    """What is needed for it.  clock gives seconds since the epoch."""

    store: Store
    rules: Rules
    max_octets: int
    settle_s: float
    clock: Callable[[], float]
    on_step: Callable[[str], None]

    async def bring(self, claim: Claim, taken: Taken) -> None:
        """Bring a claimed job into the store.

        Raises TooEarly, StoreError or, for a local fault, OSError: nothing was kept then, and
        all of it may be done again.
        """
        refused = taken.outcome
        job_id, meta = None, {}
        if isinstance(refused, Job):
            job_id, meta = refused.id, dict(refused.meta)
            outcome = await self._accept(claim, refused, taken.status)
            if outcome is None:
                return
            refused = outcome
        refusal = Refusal(claim, refused.problems, job_id, meta)
        await self.store.refuse(refusal, self.clock())
        self.on_step("accepted")
        log.info(
            "job refused",
            queue_id=claim.queue_id,
            name=claim.name,
            problems=len(refused.problems),
            first=str(refused.problems[0]),
        )

    async def _accept(self, claim: Claim, job: Job, status: os.stat_result) -> JobRefused | None:
        """None when it is accepted, else why its files do not allow it.

        Files that come into the folder together with their job may be a moment later than it,
        so what is missing or still changing has time until the job has settled.
        """
        try:
            assembled, content = await self._compose(claim, job, status.st_uid)
            self.on_step("composed")
            message = assembled.message(claim)
            acceptance = await self.store.accept(message, content, self.clock())
        except FilesMissing as missing:
            self._postpone(status)
            return missing
        except JobRefused as refused:
            return refused
        except ContentError as changed:
            self._postpone(status)
            return JobRefused((Problem("", str(changed)),))
        self.on_step("accepted")
        _log_accepted(claim, assembled, content, acceptance)
        return None

    def _postpone(self, status: os.stat_result) -> None:
        wait_s = self.settle_s - (self.clock() - status.st_mtime)
        if 0 < wait_s <= self.settle_s:
            raise TooEarly(wait_s)

    async def _compose(self, claim: Claim, job: Job, owner: int) -> tuple[Assembled, Content]:
        def work() -> tuple[Assembled, Content]:
            now, seed = self.clock(), claim.queue_id
            assembled = assemble(job, self.rules, owner=owner, now=now, seed=seed)
            return assembled, compose_within(assembled.letter, self.max_octets)

        # Files may lie on a slow disk; a job without any is made faster than a thread is woken.
        if job.text_file or job.html_file or job.html or job.inline or job.attachments:
            return await asyncio.to_thread(work)
        return work()


def compose_within(letter: Letter, max_octets: int) -> Content:
    """The letter's message.  Raises JobRefused when it cannot be written or is too large."""
    try:
        message = compose(letter)
    except UnsafeText as error:
        raise JobRefused((Problem(error.field.lower(), error.why),)) from error
    if message.octets > max_octets:
        problem = f"the message has {message.octets:,} octets; allowed are {max_octets:,}"
        raise JobRefused((Problem("", problem, "[spool] max_message sets the limit"),))
    return message


def _log_accepted(
    claim: Claim, assembled: Assembled, content: Content, acceptance: Acceptance
) -> None:
    log.info(
        "job accepted" if acceptance is Acceptance.QUEUED else f"job {acceptance}",
        queue_id=claim.queue_id,
        name=claim.name,
        message_id=assembled.letter.message_id,
        recipients=len(assembled.envelope.recipients),
        octets=content.octets,
        via=assembled.route.key,
    )
