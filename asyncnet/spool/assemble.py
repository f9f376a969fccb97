"""From a job to a letter with its envelope and its way: files opened, ids and dates fixed.

Made once, at intake: every later attempt sends the same octets.  The same job, files, time and
seed give the same letter, so that intake done again after a crash makes the same mail.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from asyncnet.config.sections import AccountSettings, QueueSettings, choose_account
from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mail.letter import Letter
from asyncnet.mail.problem import Problem
from asyncnet.mailqueue.store import Claim, NewMessage, OnDoubt
from asyncnet.mime.message import message_id
from asyncnet.spool.document import shown
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.files import AllowedFolders
from asyncnet.spool.job import Job
from asyncnet.spool.letter_files import LetterFiles


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of jobs: which files, which accounts, which times."""

    folders: AllowedFolders
    accounts: Mapping[str, AccountSettings]
    allow_server: bool
    queue: QueueSettings


@dataclass(slots=True)
class Outgoing:
    """All that the store is told of a message.  Times are seconds since the epoch."""

    message_id: str
    envelope: Envelope
    route: Route
    due_at: float
    expires_at: float
    job_id: str | None
    priority: int
    on_doubt: OnDoubt
    meta: Mapping[str, Any]
    warnings: tuple[str, ...]

    def message(self, claim: Claim) -> NewMessage:
        return NewMessage(
            claim=claim,
            message_id=self.message_id,
            envelope=self.envelope,
            route=self.route,
            due_at=self.due_at,
            expires_at=self.expires_at,
            job_id=self.job_id,
            priority=self.priority,
            on_doubt=self.on_doubt,
            meta=self.meta,
            warnings=self.warnings,
        )


@dataclass(slots=True)
class Assembled(Outgoing):
    """All that a job becomes."""

    letter: Letter


class FilesMissing(JobRefused):
    """All that is wrong is that files are not there (yet)."""


def assemble(job: Job, rules: Rules, *, owner: int, now: float, seed: str) -> Assembled:
    """The letter of job and all that goes with it.

    owner is the user id whose private files may go along; seed (the queue id) makes ids and
    boundaries unique.  Raises JobRefused (FilesMissing where nothing but missing files is
    wrong) or, for a local fault such as no descriptors, OSError.  No file stays open.
    """
    work = LetterFiles(job, rules.folders, owner, seed)
    route = route_of(job, rules)
    if isinstance(route, Problem):
        work.refuse(route)
        route = Route()
    text, calendar, html = work.text(), work.calendar(), work.html()
    inline, attachments = work.inline_parts(), work.attachments()
    if work.problems:
        kind = FilesMissing if work.only_missing else JobRefused
        raise kind(tuple(work.problems))
    work.warn_of_images(html[1] if html else None)
    letter = Letter(
        from_=job.from_,
        date=job.date or _second_of(int(now)),
        message_id=job.message_id or message_id(seed, job.from_.addr_spec.rpartition("@")[2]),
        boundary_seed=seed,
        sender=job.sender,
        reply_to=job.reply_to,
        to=job.to,
        cc=job.cc,
        subject=job.subject,
        text=text,
        html=html[0] if html else None,
        calendar=calendar,
        inline=inline,
        attachments=attachments,
        headers=job.headers,
    )
    return Assembled(  # by place: so many by name take three times as long
        letter.message_id,
        envelope_of(job),
        route,
        *times_of(job, rules.queue, now),
        job.id,
        job.priority,
        job.on_doubt or rules.queue.on_doubt,
        job.meta,
        (*work.warnings, *warnings_of_times(job, now)),
        letter,
    )


@lru_cache(maxsize=2)  # mails come in bursts, and their dates are written from one
def _second_of(now: int) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def times_of(job: Job, queue: QueueSettings, now: float) -> tuple[float, float]:
    """When it is due and when it expires."""
    due_at = max(now, job.send_at.timestamp()) if job.send_at else now
    return due_at, job.expires_at.timestamp() if job.expires_at else due_at + queue.lifetime


def warnings_of_times(job: Job, now: float) -> tuple[str, ...]:
    """What its writer should know: it is no mistake of the file, which was right at its time."""
    if job.expires_at is None or job.expires_at.timestamp() > now:
        return ()
    return ("expires_at is over: it is sent to nobody",)


def route_of(job: Job, rules: Rules) -> Route | Problem:
    """The account or server that carries it, or why there is none."""
    if job.server is not None:
        if not rules.allow_server:
            advice = "[spool] allow_server = true"
            return job.problem("server", "jobs may not name a server here", advice)
        return Route(server=job.server)
    account = choose_account(rules.accounts, job.account, job.from_.addr_spec)
    return _by_account(account) if account else _no_account(job, rules.accounts)


@lru_cache(maxsize=256)  # nearly all mail goes by a few of them
def _by_account(account: str) -> Route:
    return Route(account=account)


def _no_account(job: Job, accounts: Mapping[str, AccountSettings]) -> Problem:
    known = list(accounts)
    if not known:
        return job.problem("account", "no account is configured", "add [account.NAME]")
    name = job.account or ""
    near = difflib.get_close_matches(name[:60], known, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
    return job.problem("account", f"there is no account {shown(name)!r}", advice)


def envelope_of(job: Job, *, smtputf8: bool = False, body_8bit: bool = False) -> Envelope:
    """Reverse-path and forward-paths; a recipient named twice gets one copy."""
    recipients: dict[tuple[str, str], str] = {}
    to = (*job.to, *job.cc, *job.bcc)
    for mailbox in to:
        address = mailbox.addr_spec
        recipients.setdefault(same_address(address), address)
    reverse_path = job.from_.addr_spec if job.envelope_from is None else job.envelope_from
    # The header counts too: an address that only stands there needs SMTPUTF8 as well.
    for mailbox in (job.from_, job.sender or job.from_, *job.reply_to, *to):
        smtputf8 = smtputf8 or mailbox.needs_smtputf8
    return Envelope(
        reverse_path,
        tuple(recipients.values()),
        smtputf8 or not reverse_path.isascii(),
        job.require_tls,
        body_8bit,
    )


def same_address(address: str) -> tuple[str, str]:
    """What two addresses have in common when they are one: the local part, capitals included
    (RFC 5321 section 2.4), and the domain, capitals aside.
    """
    local, _, domain = address.rpartition("@")
    return local, domain.lower()
