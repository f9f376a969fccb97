"""From a job to a letter with its envelope and its way: files opened, ids and dates fixed.

Made once, at intake: every later attempt sends the same octets.  The same job, files, time and
seed give the same letter, so that intake done again after a crash makes the same mail.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from asyncnet.config import AccountSettings, QueueSettings, choose_account
from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mail.letter import Content, ContentError, Letter, Octets, Part
from asyncnet.mail.problem import Problem
from asyncnet.mailqueue.store import Claim, NewMessage, OnDoubt
from asyncnet.mime.message import message_id
from asyncnet.spool.document import shown
from asyncnet.spool.errors import FileRefused, JobRefused
from asyncnet.spool.files import AllowedFolders, FileContent, read_text, safe_name
from asyncnet.spool.html_images import Images, embed_images
from asyncnet.spool.job import Job
from asyncnet.spool.job_files import Attachment, FileSource
from asyncnet.spool.media_types import media_type

MAX_BODY_OCTETS = 10_000_000  # a body is held in memory whole, other than attachments


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of jobs: which files, which accounts, which times."""

    folders: AllowedFolders
    accounts: Mapping[str, AccountSettings]
    allow_server: bool
    queue: QueueSettings


@dataclass(frozen=True, slots=True)
class Assembled:
    """All that a job becomes.  due_at and expires_at are seconds since the epoch."""

    letter: Letter
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
            message_id=self.letter.message_id,
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


class FilesMissing(JobRefused):
    """All that is wrong is that files are not there (yet)."""


def assemble(job: Job, rules: Rules, *, owner: int, now: float, seed: str) -> Assembled:
    """The letter of job and all that goes with it.

    owner is the user id whose private files may go along; seed (the queue id) makes ids and
    boundaries unique.  Raises JobRefused (FilesMissing where nothing but missing files is
    wrong) or, for a local fault such as no descriptors, OSError.  No file stays open.
    """
    work = _Work(job, rules, owner, seed)
    route = work.route()
    text = work.text()
    images = work.html()
    inline = work.inline_parts()
    attachments = tuple(work.part(entry) for entry in job.attachments)
    if work.problems:
        kind = FilesMissing if work.only_missing else JobRefused
        raise kind(tuple(work.problems))
    work.warn_of_images(images)
    letter = Letter(
        from_=job.from_,
        date=job.date or datetime.fromtimestamp(int(now), UTC),
        message_id=job.message_id or message_id(seed, job.from_.addr_spec.rpartition("@")[2]),
        boundary_seed=seed,
        sender=job.sender,
        reply_to=job.reply_to,
        to=job.to,
        cc=job.cc,
        subject=job.subject,
        text=text,
        html=images.html if images else None,
        inline=tuple(part for part in inline if part is not None),
        attachments=tuple(part for part in attachments if part is not None),
        headers=job.headers,
    )
    due_at = max(now, job.send_at.timestamp()) if job.send_at else now
    lifetime_s = rules.queue.lifetime
    return Assembled(
        letter=letter,
        envelope=envelope_of(job),
        route=route,
        due_at=due_at,
        expires_at=job.expires_at.timestamp() if job.expires_at else due_at + lifetime_s,
        job_id=job.id,
        priority=job.priority,
        on_doubt=job.on_doubt or rules.queue.on_doubt,
        meta=job.meta,
        warnings=tuple(work.warnings),
    )


def envelope_of(job: Job) -> Envelope:
    """Reverse-path and forward-paths; a recipient named twice gets one copy.

    Two addresses are the same when their local parts are, capitals included (RFC 5321 section
    2.4), and their domains, capitals aside.
    """
    recipients: dict[tuple[str, str], str] = {}
    for mailbox in (*job.to, *job.cc, *job.bcc):
        address = mailbox.addr_spec
        recipients.setdefault((mailbox.local, address.rpartition("@")[2].lower()), address)
    reverse_path = job.from_.addr_spec if job.envelope_from is None else job.envelope_from
    mailboxes = (job.from_, job.sender, *job.reply_to, *job.to, *job.cc, *job.bcc)
    return Envelope(
        reverse_path=reverse_path,
        recipients=tuple(recipients.values()),
        # The header counts too: an address that only stands there needs SMTPUTF8 as well.
        smtputf8=not reverse_path.isascii() or any(m and m.needs_smtputf8 for m in mailboxes),
        require_tls=job.require_tls,
    )


class _Work:
    """One job being assembled: problems and warnings gather here."""

    def __init__(self, job: Job, rules: Rules, owner: int, seed: str) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.only_missing = True
        self._job = job
        self._rules = rules
        self._owner = owner
        self._seed = seed
        self._embedded: dict[str, Part] = {}  # by path, images that the html shows by src

    def route(self) -> Route:
        job = self._job
        if job.server is not None:
            if not self._rules.allow_server:
                self._refuse(
                    job.problem(
                        "server", "jobs may not name a server here", "[spool] allow_server = true"
                    )
                )
            return Route(server=job.server)
        account = choose_account(self._rules.accounts, job.account, job.from_.addr_spec)
        if account is None:
            self._refuse(self._no_account())
        return Route(account=account)

    def _no_account(self) -> Problem:
        known = list(self._rules.accounts)
        if not known:
            return self._job.problem("account", "no account is configured", "add [account.NAME]")
        name = self._job.account or ""
        near = difflib.get_close_matches(name[:60], known, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
        return self._job.problem("account", f"there is no account {shown(name)!r}", advice)

    def text(self) -> str | None:
        return self._body(self._job.text_file) if self._job.text_file else self._job.text

    def html(self) -> Images | None:
        """The HTML body, its local images taken along."""
        source = self._job.html_file
        text = self._body(source) if source else self._job.html
        if text is None:
            return None
        for entry in self._job.inline:
            if isinstance(entry.source, FileSource) and entry.cid is not None:
                self._embedded.setdefault(entry.source.path, Part(Octets(b""), "", None, entry.cid))
        self._listed = len(self._embedded)
        return embed_images(text, self._embed)

    def _embed(self, path: str) -> str | None:
        """The content id of a local image, looked for beside the HTML file first."""
        known = self._embedded.get(path)
        if known is not None:
            return known.cid
        key = "html_file" if self._job.html_file else "html"
        line, column = self._job.places[key]
        beside = (
            str(PurePosixPath(self._job.html_file.path).parent / path)
            if (self._job.html_file)
            else path
        )
        content = self._open(FileSource(beside, key, line, column), path)
        if content is None:
            return None
        cid = f"image{len(self._embedded) + 1}.{self._seed}"
        name = safe_name(content.name)
        self._embedded[path] = Part(content, media_type(name), name, cid)
        return cid

    def inline_parts(self) -> list[Part | None]:
        """Those the job lists, then those that the HTML showed by src."""
        listed = [self.part(entry) for entry in self._job.inline]
        return [*listed, *(part for part in self._embedded.values() if part.media_type)]

    def part(self, entry: Attachment) -> Part | None:
        """An attachment or inline image; None when a problem was noted."""
        content: Content | None
        if isinstance(entry.source, FileSource):
            file = self._open(entry.source)
            content, found_name = file, file.name if file else ""
        else:
            content, found_name = Octets(entry.source), ""
        if content is None:
            return None
        name = safe_name(entry.name or found_name)
        return Part(content, entry.media_type or media_type(name), name, entry.cid)

    def warn_of_images(self, images: Images | None) -> None:
        """What the reader of the mail will not see."""
        defined = {entry.cid for entry in self._job.inline}
        if images is None:
            if defined:
                self.warnings.append("inline: there is no html that could show these images")
            return
        for url in images.remote:
            self.warnings.append(
                f"html: most providers do not show external images: {shown(url)}; "
                "put the file beside the job and name it instead"
            )
        for url in images.unusable:
            self.warnings.append(f"html: an image that nobody else can open: {shown(url)}")
        new = {part.cid for part in self._embedded.values()}
        for cid in sorted(images.cids - defined - new):
            self.warnings.append(f"html: cid:{shown(cid)} is shown, but inline does not define it")
        for cid in sorted({cid for cid in defined if cid} - images.cids):
            self.warnings.append(f"inline.{cid}: html does not show it")

    def _body(self, source: FileSource) -> str | None:
        content = self._open(source)
        if content is None:
            return None
        if content.octets > MAX_BODY_OCTETS:
            self._refuse(
                source.problem(
                    f"the file has {content.octets:,} octets; a body has at most "
                    f"{MAX_BODY_OCTETS:,}",
                    "attach it",
                )
            )
            return None
        try:
            return read_text(content)
        except FileRefused as error:
            self._refuse(source.problem(error.problem, error.suggestion))
        except ContentError as error:
            self._refuse(source.problem(str(error)), missing=True)
        return None

    def _open(self, source: FileSource, written: str | None = None) -> FileContent | None:
        """The judged file; None when a problem was noted.  written is the path as in the job."""
        try:
            return self._rules.folders.open(source.path, self._owner)
        except FileRefused as error:
            problem = f"{shown(written or source.path)!r}: {error.problem}"
            self._refuse(source.problem(problem, error.suggestion), missing=error.missing)
            return None

    def _refuse(self, problem: Problem, *, missing: bool = False) -> None:
        self.problems.append(problem)
        self.only_missing = self.only_missing and missing
