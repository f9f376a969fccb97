"""Handing a claimed job over to the store: composed and accepted, or refused with its reasons."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog

from asyncnet.mail.letter import Content, ContentError, Letter, Octets
from asyncnet.mail.problem import Problem
from asyncnet.mailqueue.store import HELD_OCTETS, Acceptance, Claim, Refusal, Store
from asyncnet.mime.errors import UnsafeText
from asyncnet.mime.message import compose
from asyncnet.spool.assemble import FilesMissing, Outgoing, Rules, assemble
from asyncnet.spool.assemble_ready import assemble_ready
from asyncnet.spool.earlier import without_accepted
from asyncnet.spool.errors import FileRefused, JobRefused
from asyncnet.spool.files import AllowedFolders
from asyncnet.spool.job import Job, MistakenJob
from asyncnet.spool.letter_digest import digest_of_job, digest_of_octets
from asyncnet.spool.ready_orders import Orders
from asyncnet.spool.taking import Taken
from asyncnet.threads import UnwaitedThreads

T = TypeVar("T")

READ_AT_ONCE = 4  # jobs with files

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def _reading_threads() -> UnwaitedThreads:
    return UnwaitedThreads(READ_AT_ONCE, "job-files")


class TooEarly(Exception):
    """The job's files may still be under way: hand it over again when wait_s have passed."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"again in {wait_s:.1f} s")
        self.wait_s = wait_s


@dataclass(slots=True)
class Begun:
    """A message that the store was given; answer is what it will say."""

    claim: Claim
    outgoing: Outgoing
    content: Content
    answer: asyncio.Future[Acceptance]


@dataclass(frozen=True, slots=True)
class HandOver:
    """What is needed for it.  clock gives seconds since the epoch.

    The files of jobs are read in threads of its own, for which no end waits: they may lie on a disk
    that hangs, and a few such reads in the loop's threads would stop all that waits for one.
    """

    store: Store
    queue: Path  # the folder where claimed jobs lie
    rules: Rules
    max_octets: int
    settle_s: float
    clock: Callable[[], float]
    on_step: Callable[[str], None]
    _reading: UnwaitedThreads = field(
        default_factory=_reading_threads, init=False, repr=False, compare=False
    )

    def begin(self, claim: Claim, taken: Taken) -> Begun | None:
        """Give the store a job that needs nothing else; None where it does: bring() it.

        Call end() when the answer is there.  Raises JobRefused or StoreError: bring() it then, too.
        """
        job = taken.outcome
        if not isinstance(job, Job) or taken.earlier is not None or _has_files(job):
            return None
        outgoing, content = self._compose_job(claim, job, taken.status.st_uid)
        return self._begin(claim, outgoing, _held(content))

    def _begin(self, claim: Claim, outgoing: Outgoing, content: Content) -> Begun:
        self.on_step("composed")
        answer = self.store.accept(outgoing.message(claim), content, self.clock())
        return Begun(claim, outgoing, content, asyncio.ensure_future(answer))

    def end(self, begun: Begun) -> None:
        """What begun was is in the store.  Raises what its answer is, where that is an error."""
        acceptance = begun.answer.result()
        self.on_step("accepted")
        _log_accepted(begun.claim, begun.outgoing, begun.content, acceptance)

    async def bring(self, claim: Claim, taken: Taken) -> None:
        """Bring a claimed job into the store.

        Raises TooEarly, StoreError or, for a local fault, OSError: nothing was kept then, and
        all of it may be done again.
        """
        refused = taken.outcome
        job_id, meta = None, {}
        if isinstance(refused, MistakenJob):
            job_id, meta = refused.rest.id, dict(refused.rest.meta)
            refused = await self._all_mistakes(claim, refused, taken)
        if not isinstance(refused, JobRefused):
            job_id, meta = refused.id, dict(refused.meta)
            outcome = await self._accept(claim, refused, taken)
            if outcome is None:
                return
            refused = outcome
        await self.refuse(claim, refused, job_id, meta)

    async def refuse(
        self,
        claim: Claim,
        refused: JobRefused,
        job_id: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Let the store have a job that cannot be sent.  Raises StoreError."""
        refusal = Refusal(claim, refused.problems, job_id, meta or {})
        await self.store.refuse(refusal, self.clock())
        self.on_step("accepted")
        log.info(
            "job refused",
            queue_id=claim.queue_id,
            name=claim.name,
            problems=len(refused.problems),
            first=str(refused.problems[0]),
        )

    async def _accept(self, claim: Claim, job: Job | Orders, taken: Taken) -> JobRefused | None:
        """None when it is accepted, else why its files do not allow it.

        Files that come into the folder together with their job may be a moment later than it,
        so what is missing or still changing has time until the job has settled.
        """
        try:
            begun = self._begin(claim, *await self._compose(claim, job, taken))
            await begun.answer
        except FilesMissing as missing:
            self._postpone(taken)
            return missing
        except JobRefused as refused:
            return refused
        except ContentError as changed:
            self._postpone(taken)
            return JobRefused((Problem("", str(changed)),))
        self.end(begun)
        return None

    async def _all_mistakes(self, claim: Claim, mistaken: MistakenJob, taken: Taken) -> JobRefused:
        """The refusal with what is wrong with the job's files, too: all is told at once."""
        owner = taken.status.st_uid

        def work() -> JobRefused:
            try:
                self._compose_job(claim, mistaken.rest, owner)
            except FilesMissing as missing:
                self._postpone(taken)
                return mistaken.with_more(missing.problems)
            except JobRefused as refused:
                return mistaken.with_more(refused.problems)
            except ContentError:  # a file changes just now: later, unless that goes on for ever
                self._postpone(taken)
            return mistaken

        return await self._done(work, mistaken.rest)

    def _postpone(self, taken: Taken) -> None:
        wait_s = self.settle_s - (self.clock() - taken.status.st_mtime)
        if 0 < wait_s <= self.settle_s:
            raise TooEarly(wait_s)

    async def _compose(
        self, claim: Claim, job: Job | Orders, taken: Taken
    ) -> tuple[Outgoing, Content]:
        def work() -> tuple[Outgoing, Content]:
            made: tuple[Outgoing, Content]
            if isinstance(job, Orders):
                made = self._compose_ready(claim, job, taken.status.st_uid)
            else:
                made = self._compose_job(claim, job, taken.status.st_uid)
            outgoing, content = made
            if taken.earlier is not None:
                letter = self._letter(claim, job, taken.status.st_uid)
                outgoing = without_accepted(outgoing, taken.earlier, letter)
            return outgoing, _held(content)

        return await self._done(work, job)

    async def _done(self, work: Callable[[], T], job: Job | Orders) -> T:
        # A job without files is made faster than a thread is woken.
        if not _has_files(job):
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._reading, work)

    def _compose_job(self, claim: Claim, job: Job, owner: int) -> tuple[Outgoing, Content]:
        now, seed = self.clock(), claim.queue_id
        assembled = assemble(job, self.rules, owner=owner, now=now, seed=seed)
        return assembled, compose_within(assembled.letter, self.max_octets)

    def _compose_ready(self, claim: Claim, orders: Orders, owner: int) -> tuple[Outgoing, Content]:
        file = self._ready_file(claim, owner)
        now, seed = self.clock(), claim.queue_id
        assembled = assemble_ready(file, orders, self.rules, now=now, seed=seed)
        refuse_too_large(assembled.content, self.max_octets)
        return assembled, assembled.content

    def _letter(self, claim: Claim, job: Job | Orders, owner: int) -> str:
        if isinstance(job, Job):
            return digest_of_job(job)
        return digest_of_octets(self._ready_file(claim, owner).blocks())

    def _ready_file(self, claim: Claim, owner: int) -> Content:
        try:
            return AllowedFolders((self.queue,), self.max_octets).open(claim.job_file, owner)
        except FileRefused as error:
            raise JobRefused((Problem("", error.problem, error.suggestion),)) from error


def reads_files(taken: Taken) -> bool:
    """Whether bring() reads files for it: a disk that hangs may be in its way."""
    outcome = taken.outcome
    job = outcome.rest if isinstance(outcome, MistakenJob) else outcome
    return not isinstance(job, JobRefused) and _has_files(job)


def _has_files(job: Job | Orders) -> bool:
    if isinstance(job, Orders):
        return True
    return bool(
        job.text_file or job.html_file or job.html or job.calendar or job.inline or job.attachments
    )


def _held(content: Content) -> Content:
    """A small one in memory; what hinders its reading is met here.  Raises as its blocks do."""
    if content.octets > HELD_OCTETS or isinstance(content, Octets):
        return content
    return Octets(b"".join(content.blocks()))


def compose_within(letter: Letter, max_octets: int) -> Content:
    """The letter's message.  Raises JobRefused when it cannot be written or is too large."""
    try:
        message = compose(letter)
    except UnsafeText as error:
        raise JobRefused((Problem(error.field.lower(), error.why),)) from error
    refuse_too_large(message, max_octets)
    return message


def refuse_too_large(message: Content, max_octets: int) -> None:
    """Raises JobRefused."""
    if message.octets > max_octets:
        problem = f"the message has {message.octets:,} octets; allowed are {max_octets:,}"
        raise JobRefused((Problem("", problem, "[spool] max_message sets the limit"),))


def _log_accepted(
    claim: Claim, outgoing: Outgoing, content: Content, acceptance: Acceptance
) -> None:
    log.info(
        "job accepted" if acceptance is Acceptance.QUEUED else f"job {acceptance}",
        queue_id=claim.queue_id,
        name=claim.name,
        message_id=outgoing.message_id,
        recipients=len(outgoing.envelope.recipients),
        octets=content.octets,
        via=outgoing.route.key,
    )
