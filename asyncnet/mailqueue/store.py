"""The store: the one place where intake, delivery and reporting meet.

The database is the truth; the folders are views of it.  Every step below may be done twice.
Where several machines share a queue, each job has one that took it in and files its result.

A job's life, and what a crash leaves behind:

  where it is                                   after a crash, at the next start
  --------------------------------------------  ---------------------------------------------
  file in pickup/                               not ours yet: it is found by the scan
  file in queue/, no row                        claimed: intake is done again, under the id in
                                                the file's name, so it is still one mail
  content file in queue/, no row                written before a commit that never came: swept
  row waiting (its file in queue/)              will be sent when it is due
  row held                                      stays so until a person releases or cancels it
  row leased, no dot mark                       the lease is taken back; the attempt is repeated
  row leased, dot mark, no verdict              in doubt: on_doubt decides (RFC 1047)
  row leased, a person's word noted             as above, then the word: what the attempt left
                                                open is held or canceled
  row leased by a process that is silent        PostgreSQL: after its lease term another machine
                                                takes the lease back, as above
  row finished, not reported                    the result is written (again), the file is moved
  row finished, reported, content still there   the content is dropped, a file once no message in it
                                                is unfinished

What leads from one to another, each in one transaction, and what it does when it comes again:

  step            from                to                                     again
  --------------  ------------------  -------------------------------------  -----------------------
  accept          no row              waiting; finished, if a duplicate      known: nothing
  refuse          no row              finished                               known: nothing
  lease           waiting, due        leased, with a higher fence            leases what else is due
  mark_dot        leased              leased, dot mark                       the same mark
  settle          leased              waiting, held or finished              the lease is lost
  hold            waiting             held; noted, while it is leased        unchanged
  release, retry  held, waiting       waiting; noted, while it is leased     unchanged
  cancel          waiting, held       finished; noted, while it is leased    finished
  open            leased              as after a crash, above                nothing is leased
  mark_reported   finished            finished, reported; content dropped    nothing
  purge           reported long ago   no row                                 nothing

How files follow stands where they are moved: in spool/intake, companions, reporter and filing.

A row may be damaged: by a disk, a hand, a bug of ours.  No other waits for that: one that was to
be leased is finished (failed, or what its recipients reached), one to be reported is reported as
far as it can be read, and the record's errors and the recipients' texts say what was damaged.

Big and small senders: what is due as it comes in stands in its lane's line (a lane is an account,
or server, and a priority) with a turn of its own, the one after its sender's last, but never before
the present one: the next mail of everybody comes before anybody's second, however many one has
dropped (turns).  The sender is the reverse-path, without regard to case.  What goes by its time (a
send_at, and all that was ever leased) has no turn and goes beside the line, mail by mail.

Times are seconds since the epoch on the caller's clock; the store itself reads no clock.

Values of which every job has one are not frozen, which would make them three times as dear; nobody
changes them all the same.
"""

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mail.letter import BLOCK_OCTETS, Content
from asyncnet.mail.problem import Problem
from asyncnet.mail.verdict import JobStatus, Verdict

INLINE_OCTETS = 16 * 1024  # larger content lies beside the row: in rows it halves the rate
# Up to that content is best handed over as Octets.  Those of many messages are then written in one
# go; what has yet to be read, from files that may hang, is read and written for itself.
HELD_OCTETS = 2 * BLOCK_OCTETS

OnDoubt = Literal["retry", "hold", "fail"]


class StoreError(Exception):
    """The store cannot be used, or not now; str() says why and what to do."""


class StoreAway(StoreError):
    """The store cannot be reached, or not do it, now: trying again may help."""


class StoreBroken(StoreError):
    """A commit or flush failed: nobody knows what is on the disk.  End the process (75)."""


class LeaseLost(StoreError):
    """Somebody else holds the message by now: stop, and leave it alone."""


@dataclass(slots=True)
class Claim:
    """A job file that was renamed into queue/: the identity of all that follows.

    name is the file's stem as dropped ("hello"), job_file its present name in queue/.
    """

    queue_id: str
    name: str
    job_file: str
    claimed_at: float


@dataclass(slots=True)
class NewMessage:
    """A claimed job that became a message; its content is handed over beside it.

    job_id is the idempotency key.  route tells the account or server.  priority is 0 (high),
    1 or 2 (low).  due_at is now or send_at.
    """

    claim: Claim
    message_id: str
    envelope: Envelope
    route: Route
    due_at: float
    expires_at: float
    job_id: str | None = None
    priority: int = 1
    on_doubt: OnDoubt = "retry"
    meta: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A claimed job that cannot become a message: finished at once, status invalid."""

    claim: Claim
    errors: tuple[Problem, ...]
    job_id: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Acceptance(StrEnum):
    """What accept() made of a message."""

    QUEUED = "queued"
    DUPLICATE = "duplicate"  # its job_id was seen within the window: finished, not sent
    KNOWN = "known"  # the same queue_id is there already: a repeated step, nothing done


@dataclass(slots=True)
class Lease:
    """The right to send one message until it is settled.

    envelope.recipients holds only those still to be tried and positions their places in the
    job, in the same order; its envid is the queue id.  fence grows with every lease of a
    message: a holder with an old one gets LeaseLost.  attempts counts the attempts settled
    before this one.
    """

    queue_id: str
    fence: int
    route: Route
    envelope: Envelope
    positions: tuple[int, ...]
    attempts: int
    message_id: str
    size_octets: int
    priority: int
    claimed_at: float
    expires_at: float
    on_doubt: OnDoubt
    # The engine's own: content so small that it came along, or in which file it lies and how many
    # octets stand before it there.  Read it through content().
    inline: bytes | None = field(default=None, repr=False, compare=False)
    place: tuple[str, int] | None = field(default=None, repr=False, compare=False)


@dataclass(slots=True)
class Settlement:
    """How one attempt ended.  Committed as one step.

    verdicts maps positions to verdicts (only those tried); with counted the attempt uses up
    one of the schedule (an account's trouble does not).  due_at is when those not final are
    tried again.  hold parks the message until a person releases it.  server is "host:port"
    and tls {"version", "verified"} as they were, both None where no server was reached.
    """

    verdicts: Mapping[int, Verdict]
    due_at: float
    counted: bool = True
    hold: bool = False
    server: str | None = None
    tls: Mapping[str, Any] | None = None


class Word(StrEnum):
    """What a person can say to messages that are not finished."""

    HOLD = "hold"  # park it until it is released
    RELEASE = "release"  # end that
    RETRY = "retry"  # the same, and let no deferral keep it waiting
    CANCEL = "cancel"  # end it: recipients not yet final are canceled


class Effect(StrEnum):
    """What a word did to one message."""

    DONE = "done"
    UNDER_WAY = "under_way"  # leased: a hold or cancel is noted, and falls on what it leaves open
    UNCHANGED = "unchanged"  # it is so already: held; or not held, when it is to be released
    SCHEDULED = "scheduled"  # never tried, its send_at to come: it is not held, and goes then
    FINISHED = "finished"  # every recipient is final: the folders have it


@dataclass(frozen=True, slots=True)
class Instructed:
    """One message after a word was said to it; account is its Route.key.

    pending tells a word that is noted until the attempt under way ends.
    """

    queue_id: str
    name: str
    job_id: str | None
    account: str
    effect: Effect
    status: JobStatus
    due_at: float | None
    expires_at: float | None
    pending: Word | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages that are not finished are meant: all that meet each of the terms given.

    key is a queue id, a job id or a name; account a Route.key.  Empty states: any.
    """

    key: str | None = None
    account: str | None = None
    states: frozenset[JobStatus] = frozenset()


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a selection in the order of coming in; after is where the next page begins.

    after None: this is the last one.  Only the engine can read it.
    """

    queue_ids: tuple[str, ...]
    after: str | None


@dataclass(slots=True)
class RecipientRecord:
    address: str
    verdict: Verdict
    possible_duplicate: bool = False


@dataclass(slots=True)
class Record:
    """All that the store knows of one job: what results, lists and pages are made of.

    envelope_from and message_id are None for a job that never became a message.  due_at is
    None once it is finished, finished_at until then.  account is None where the job named
    a server.  note is why a person held it, in the person's words.
    """

    claim: Claim
    status: JobStatus
    job_id: str | None
    account: str | None
    server: str | None
    tls: Mapping[str, Any] | None
    message_id: str | None
    envelope_from: str | None
    size_octets: int | None
    priority: int
    attempts: int
    due_at: float | None
    expires_at: float | None
    finished_at: float | None
    recipients: tuple[RecipientRecord, ...]
    errors: tuple[Problem, ...]
    warnings: tuple[str, ...]
    meta: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True, slots=True)
class AccountState:
    """Why an account's mail waits: seen by every command and page, kept over restarts.

    state is "ok", "throttled", "held" or "down".  Nothing of this account is leased before
    until (infinity: before a person releases it).  failures counts those in a row.
    """

    name: str
    state: Literal["ok", "throttled", "held", "down"] = "ok"
    until: float = 0.0
    since: float = 0.0
    failures: int = 0
    reason: str = ""
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits of one account: how many messages, those under way included.

    due_at is when the first of those that wait is due by itself, whatever its account does;
    None where all are under way.
    """

    messages: int
    due_at: float | None


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages of one Route.key are not finished, each counted once."""

    queued: int = 0  # wait for their first attempt, or for their send_at
    deferred: int = 0  # wait for another attempt
    held: int = 0  # wait for a person
    sending: int = 0  # are leased


@dataclass(frozen=True, slots=True)
class Census:
    """What is not finished: depths by Route.key, one that is missing has nothing.

    oldest_at is since when the oldest has waited: one never tried since it is due (claimed, or
    its send_at), one deferred since it came in.  It may be to come; None where nothing waits.
    Held messages do not count: a person knows of them.
    """

    depths: Mapping[str, Depth]
    oldest_at: float | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished job as a list shows it; account is its Route.key, "" where it never had one.

    address, code, text and hint are of the first recipient that was not accepted, or else of the
    first one; without recipients, text is the first mistake of the job.
    """

    queue_id: str
    name: str
    status: JobStatus
    account: str
    attempts: int
    finished_at: float
    recipients: int
    accepted: int
    address: str | None
    code: int | None
    text: str
    hint: str | None


class Store(Protocol):
    """The contract, kept by every engine and proven by one conformance suite.

    Each coroutine returns only after its effect is on the disk.  Cancelling one leaves its
    effect done or not done, never half done.  Any of them may raise StoreBroken, and those
    that write StoreError (no room on the disk, another process in the way): nothing is done
    then, and the same call may be made again.  Where a server's answer was lost it may be
    done, and the same call made again finds it so (accept() then says KNOWN).
    """

    ready: asyncio.Event  # a hint: something may be due; who waits clears it
    finished: asyncio.Event  # a hint: something may be unreported; who waits clears it

    async def open(self, now: float) -> None:
        """Make or migrate the schema, take back the leases that are over, judge the doubts.

        Raises StoreError where the file cannot be used (network file system, damaged, made
        by a newer version, no permission), StoreAway where the server does not answer now, or
        the disk is full.
        """
        ...

    async def close(self) -> None:
        """Finish what was handed over, then close.  May be called twice."""
        ...

    def accept(self, message: NewMessage, content: Content, now: float) -> Awaitable[Acceptance]:
        """Take over a message; from here on it is sent or reported, whatever happens.

        DUPLICATE: a job of the same job_id was claimed within the window before or after, and
        was or may be sent.  One that ended invalid, failed, expired, canceled or duplicate
        does not count, unless a recipient is marked a possible duplicate: nobody can have got
        its mail, and put right it may come again.  The recipients of a duplicate are canceled,
        and their text names the other's queue id.

        Raises ContentError (nothing is kept then) or StoreError (disk full and the like:
        nothing is kept, try again later).
        """
        ...

    async def refuse(self, refusal: Refusal, now: float) -> None:
        """Take over a job that cannot be sent, so that its result gets written."""
        ...

    async def known(self, queue_ids: Iterable[str]) -> frozenset[str]:
        """Those of queue_ids that have a row."""
        ...

    async def lease(
        self, now: float, limit: int, passing_over: Collection[str] = ()
    ) -> list[Lease]:
        """Lease up to limit messages that are due: by priority, then fairly.

        Of one priority each lane gives, in turn with the others, from its line (see above; in the
        order of turns, whatever the clock says by now) and from what goes by its time (in the
        order of due times); where they are even, by due time, then id.

        Messages whose account waits (see AccountState.until), and those of the Route.keys in
        passing_over (whose holder has enough of them), are left where they are; one whose
        expires_at has come is due at once, and goes into the limit before the others, since
        it needs a verdict but no server.  Cancelled, what it may have leased is given back.
        """
        ...

    async def next_due(self, now: float, passing_over: Collection[str] = ()) -> float | None:
        """When lease() may next have something, account states considered; may be past.

        passing_over as in lease().

        None: nothing waits, or nothing that time alone will release.
        """
        ...

    def content(self, lease: Lease) -> Content:
        """The message as composed.  Its blocks() read the disk: keep them off the loop if large."""
        ...

    def mark_dot(self, lease: Lease) -> Awaitable[None]:
        """Note that the end of the content is about to be sent.  Raises LeaseLost."""
        ...

    async def settle(self, lease: Lease, settlement: Settlement, now: float) -> None:
        """Commit an attempt's verdicts and give the lease back.  Raises LeaseLost.

        A final verdict is never overwritten.  IN_DOUBT goes by the message's on_doubt: with
        "retry" the recipient is DEFERRED, keeps the verdict's words and is marked a possible
        duplicate; with "hold" as well, and the message is parked; with "fail" it is final.
        When every recipient is final the job is finished; else it waits until due_at, or is
        HELD.  Without verdicts and uncounted, the lease is given back as if it had not been.
        A person's word that was noted meanwhile (see instruct) then falls on what is open:
        it is HELD, or canceled and with that finished.
        """
        ...

    async def select(self, selection: Selection, after: str = "", limit: int = 500) -> Page:
        """The messages not finished that are meant, from the page before's after on."""
        ...

    async def instruct(
        self, word: Word, queue_ids: Collection[str], now: float, reason: str = ""
    ) -> list[Instructed]:
        """Say a word to messages, in one step; what it did to each, in any order.

        Ids that are unknown are left out.  A lease is never taken away: to one leased, HOLD
        and CANCEL are noted in its row, and the last word counts (RELEASE and RETRY take an
        earlier one back).  HOLD parks what waits, in whatever due time; a held message does
        not expire.  RELEASE makes a held one wait again, DEFERRED if it was ever tried and
        else QUEUED, due now; but one that was never tried keeps a due time to come (its
        send_at).  RETRY does so, too, and makes a DEFERRED one due now.  CANCEL ends one that
        waits or is held: open recipients are CANCELED, with the reason in the text of those
        never tried and in the hint of the others, who keep their server's last words; those
        final stay as they are, and the job is finished.  Attempts and expires_at are left alone.

        reason is kept as the note of a held message, and shown for a canceled one.  Sets ready
        where something became due, finished where something is.
        """
        ...

    async def unreported(self, limit: int) -> list[Record]:
        """Finished jobs whose results are not written yet, oldest first."""
        ...

    async def mark_reported(self, queue_ids: Iterable[str]) -> None:
        """Note that the results lie in their folders; the content is dropped.

        Ids that are unknown, not finished or noted already are passed over.
        """
        ...

    async def records(self, *, states: Iterable[JobStatus] = (), limit: int = 1000) -> list[Record]:
        """Jobs, newest first; states empty means those not finished."""
        ...

    async def find(self, key: str) -> list[Record]:
        """Jobs whose queue id, job id or name is key, newest first."""
        ...

    async def counts(self) -> Mapping[JobStatus, int]:
        """How many jobs stand at each status (those still kept)."""
        ...

    async def backlogs(self) -> Mapping[str, Backlog]:
        """What waits, by Route.key; one that is missing has nothing.  Held jobs do not count."""
        ...

    async def census(self) -> Census:
        """What is not finished, counted: at a cost of milliseconds for 100,000."""
        ...

    async def latest(self, limit: int) -> list[Ended]:
        """The jobs that finished last, the last one first; damaged rows are left out."""
        ...

    async def account_states(self) -> Mapping[str, AccountState]:
        """States by Route.key; one that is missing is ok."""
        ...

    async def set_account_state(self, state: AccountState) -> None:
        """Put a state in place of the account's earlier one; sets ready."""
        ...

    async def clock_put_back(self, by_s: float, before: float) -> None:
        """The caller's clock was put back from before: what waits goes back with it; sets ready.

        That is what was due already, every time that an attempt left and every account's; not a
        send_at that is to come, nor expires_at.  Where several machines write the times, each by
        its own clock, nothing is done: no row tells by whose clock it waits, and all machines whose
        clocks are put right at once would each take the same waits away.  Mail that waits by a
        wrong clock waits until then, or for a person's word (instruct); leases, which go by the
        clock of the store alone, do not wait for it.
        """
        ...

    async def purge(self, before: float) -> int:
        """Forget jobs reported and finished before that time; returns how many.

        With a job its job_id is forgotten: keep to times before the window of duplicates.
        """
        ...
