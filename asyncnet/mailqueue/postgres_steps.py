"""The steps of a job's life as PostgreSQL does them: each works for a whole batch of calls.

Each runs inside a transaction, which what it raises undoes.  Rows of job are locked in the order
of their ids, and those of holder before them, by everybody: so nobody waits in a circle.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from asyncnet.mail.verdict import JobStatus, RecipientStatus
from asyncnet.mailqueue.mending import UNREADABLE
from asyncnet.mailqueue.postgres_access import Connection
from asyncnet.mailqueue.postgres_link import QUERIES
from asyncnet.mailqueue.rows import (
    Row,
    lease_from,
    message_row,
    octets,
    recipient_row,
    told,
)
from asyncnet.mailqueue.settling import (
    IN_DOUBT_AT_START,
    Standing,
    cancel_text,
    judged,
    standing_after,
    written_over,
)
from asyncnet.mailqueue.store import (
    Acceptance,
    Lease,
    LeaseLost,
    NewMessage,
    Settlement,
    StoreError,
)
from asyncnet.mailqueue.turns import Turns

OVERSAMPLING = 4  # so many machines may be choosing at the same instant and all find enough


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message to take over; job is its row's id where its content lies there already."""

    message: NewMessage
    size_octets: int
    now: float
    inline: bytes | None = None
    job: int | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """An attempt to settle."""

    lease: tuple[str, int]  # queue id and fence
    settlement: Settlement
    now: float


@dataclass(frozen=True, slots=True)
class Settled:
    """owner is who is to file the result, None as long as the job is not finished."""

    owner: str | None


async def rows(connection: Connection, query: str, *parameters: Any) -> list[Row]:
    return [tuple(row) for row in await connection.fetch(QUERIES[query], *parameters)]


async def many(connection: Connection, query: str, parameters: Collection[Row]) -> None:
    """The same statement for each row of parameters, in one round trip."""
    if parameters:
        await connection.executemany(QUERIES[query], parameters)


async def ring(connection: Connection, ready: str | None, owners: Iterable[str] = ()) -> None:
    """Tell the other machines, when this is committed, and only then."""
    names = sorted(set(owners))
    if ready is not None or names:
        await connection.fetch(QUERIES["ring"], ready, names)


# Taking over.


async def accept(
    connection: Connection, arrivals: Sequence[Arrival], owner: str, window_s: float, turns: Turns
) -> list[Acceptance]:
    """Insert messages; duplicates among them and of others' are found."""
    twins = await _twins(connection, arrivals, window_s)
    values = []
    await _tell_turns(connection, arrivals, turns)
    for it, twin in zip(arrivals, twins, strict=True):
        row = message_row(it.message, it.size_octets, octets)
        values.append((*row, it.job, owner, *_beginning(it, twin, turns)))
    inserted = await connection.fetchmany(QUERIES["insert_message"], values)
    jobs: dict[str, int] = {row[0]: row[1] for row in inserted}
    recipients, contents, outcomes = [], [], []
    for it, twin in zip(arrivals, twins, strict=True):
        job = jobs.pop(it.message.claim.queue_id, None)
        if job is None:
            outcomes.append(Acceptance.KNOWN)
            continue
        outcomes.append(Acceptance.QUEUED if twin is None else Acceptance.DUPLICATE)
        status = RecipientStatus.PENDING if twin is None else RecipientStatus.CANCELED
        text = octets("" if twin is None else f"duplicate of {twin}")
        for position, address in enumerate(it.message.envelope.recipients):
            recipients.append((job, position, octets(address), status, text))
        if twin is None and it.inline is not None:
            contents.append((job, it.inline))
    await many(connection, "insert_recipient", recipients)
    await many(connection, "insert_content", contents)
    return outcomes


def _beginning(arrival: Arrival, twin: str | None, turns: Turns) -> Row:
    """Status, stage, due and finished time and turn of a new row."""
    if twin is not None:
        return (JobStatus.DUPLICATE, "finished", None, arrival.now, 0)
    message = arrival.message
    at_once = message.due_at <= arrival.now
    turn = turns.take(_lane(message), message.envelope.reverse_path) if at_once else 0
    return (JobStatus.QUEUED, "waiting", message.due_at, None, turn)


def _lane(message: NewMessage) -> tuple[str, int]:
    return message.route.key, message.priority


async def _tell_turns(connection: Connection, arrivals: Iterable[Arrival], turns: Turns) -> None:
    lanes = list({_lane(it.message) for it in arrivals if it.message.due_at <= it.now})
    if lanes:
        keys, priorities = [octets(key) for key, _ in lanes], [number for _, number in lanes]
        found = await rows(connection, "present_turns", keys, priorities)
        for lane, (first,) in zip(lanes, found, strict=True):
            turns.now_at(lane, first)


async def _twins(
    connection: Connection, arrivals: Sequence[Arrival], window_s: float
) -> list[str | None]:
    """For each arrival the queue id of the job that it is a duplicate of."""
    keys = [it.message.job_id for it in arrivals if it.message.job_id is not None]
    if not keys:
        return [None] * len(arrivals)
    wanted = [octets(key) for key in keys]
    await connection.fetch(QUERIES["lock_job_ids"], wanted)
    ids = [it.message.claim.queue_id for it in arrivals]
    known = {row[0] for row in await rows(connection, "known", ids)}
    found: dict[str, list[tuple[float, str]]] = {key: [] for key in keys}
    for job_id, claimed_at, queue_id in await rows(connection, "find_twins", wanted):
        found[told(job_id)].append((claimed_at, queue_id))
    twins: list[str | None] = []
    for it in arrivals:
        claim, key = it.message.claim, it.message.job_id
        others = [] if key is None else found[key]
        near = (
            queue_id
            for claimed_at, queue_id in others
            if abs(claimed_at - claim.claimed_at) <= window_s and queue_id != claim.queue_id
        )
        twin = next(near, None)
        if key is not None and twin is None and claim.queue_id not in known:
            others.append((claim.claimed_at, claim.queue_id))
        twins.append(twin)
    return twins


# Leasing.


async def lease(
    connection: Connection,
    holder: int,
    now: float,
    limit: int,
    passing_over: Collection[str],
    inline_octets: int,
) -> tuple[list[Lease], list[str]]:
    """Lease up to limit messages, in the order of sending; and the owners of those that are
    damaged, which are finished with the reason.  Content up to inline_octets comes along.
    """
    lanes = [octets(key) for key in passing_over]
    found = await rows(
        connection, "lease", now, limit * OVERSAMPLING, lanes, limit, holder, inline_octets
    )
    found.sort(key=lambda row: (row[19], row[20]))  # rank and place
    leases, owners = [], []
    for row in found:
        try:
            leases.append(_lease_from(row))
        except UNREADABLE as error:
            owners.append(row[23])
            await _set_aside(connection, row[0], str(error), now)
    return leases, owners


def _lease_from(row: Row) -> Lease:
    return lease_from(row[:19], list(zip(row[21], map(told, row[22]), strict=True)))


async def _set_aside(connection: Connection, job: int, why: str, now: float) -> None:
    """Finish a job whose row is damaged: nobody more gets its mail, and its result tells why."""
    text = octets(f"not sent: its record in the queue is damaged ({why})")
    hint = octets("drop the job again: it lies in failed/, or is still where it came from")
    await connection.fetch(QUERIES["refuse_open"], job, text, hint)
    standing = Standing("finished", JobStatus.FAILED)
    nothing = Settlement({}, now, counted=False)
    await connection.fetch(QUERIES["settle_job"], *job_row(job, standing, nothing, now))


async def unlease(connection: Connection, leases: Sequence[Lease], now: float) -> None:
    """Give back leases that nobody received, as if they had never been."""
    held = [(it.queue_id, it.fence) for it in leases]
    await connection.fetch(QUERIES["unlease"], *_columns(held))
    nothing = Settlement({}, now, counted=False)
    await settle(connection, [Ending(it, nothing, now) for it in held])


async def mark_dots(
    connection: Connection, leases: Sequence[tuple[str, int]], holder: int, term_s: float
) -> list[StoreError | None]:
    """None for each that is marked."""
    marked = set(await rows(connection, "mark_dots", *_columns(leases), holder, term_s))
    return [None if it in marked else _lost(it[0]) for it in leases]


def _columns(held: Iterable[tuple[str, int]]) -> tuple[list[str], list[int]]:
    pairs = list(held)
    return [queue_id for queue_id, _ in pairs], [fence for _, fence in pairs]


def _lost(queue_id: str) -> LeaseLost:
    return LeaseLost(f"{queue_id} is leased to another by now")


# Settling.


async def settle(connection: Connection, endings: Sequence[Ending]) -> list[Settled | StoreError]:
    """End attempts; LeaseLost for those whose lease is."""
    leased = {
        (row[0], row[1]): row[2:]
        for row in await rows(connection, "leased_jobs", *_columns(it.lease for it in endings))
    }
    answers: list[Settled | StoreError] = []
    verdicts: list[Row] = []
    jobs: list[Row] = []
    cancels: list[Row] = []
    for ending in endings:
        row = leased.pop(ending.lease, None)  # the second of two under one lease has lost it
        if row is None:
            answers.append(_lost(ending.lease[0]))
            continue
        job, note, owner = row[0], row[4], row[5]
        standing = _settled(row, ending.settlement, verdicts)
        if standing.cancel:
            cancels.append((job, octets(cancel_text(told(note)))))
        jobs.append(job_row(job, standing, ending.settlement, ending.now))
        answers.append(Settled(owner if standing.finished else None))
    await many(connection, "settle_recipient", verdicts)
    await many(connection, "cancel_open", cancels)
    await many(connection, "settle_job", jobs)
    return answers


def _settled(row: Row, settlement: Settlement, verdicts: list[Row]) -> Standing:
    """Where the job of a row of leased_jobs stands then; its verdicts are added to the rows."""
    job, status, on_doubt, word, _, _, statuses = row
    found, hold = judged(settlement, on_doubt)
    for it in found:
        verdicts.append(recipient_row(job, it.position, it.verdict, it.possible_duplicate, octets))
    reached = written_over([RecipientStatus(it) for it in statuses], found)
    return standing_after(reached, settlement, status, hold=hold, word=word)


def job_row(job: int, standing: Standing, settlement: Settlement, now: float) -> Row:
    """The parameters of settle_job."""
    tls = None if settlement.tls is None else json.dumps(dict(settlement.tls))
    times = (None, now) if standing.finished else (settlement.due_at, None)
    server = octets(settlement.server)
    return (job, standing.stage, standing.status, *times, int(settlement.counted), server, tls)


async def judge(
    connection: Connection, owner: str | None, term_s: float, now: float
) -> list[str] | None:
    """Take back the leases of dead processes; those with a dot mark are in doubt.

    Those of owner are dead for sure.  Returns the owners of jobs that are finished by it, None
    where nobody was dead.
    """
    await rows(connection, "put_back_holders", term_s)
    dead = [row[0] for row in await rows(connection, "dead_holders", owner, term_s)]
    if not dead:
        return None
    await connection.fetch(QUERIES["take_back_leases"], dead)
    left = await rows(connection, "left_leased", dead)
    leased = await rows(connection, "leased_jobs", *_columns((it[0], it[1]) for it in left))
    dots = {(queue_id, fence): dot for queue_id, fence, dot in left}
    endings = []
    for row in leased:
        key, statuses = (row[0], row[1]), row[8]
        still_open = [n for n, it in enumerate(statuses) if not RecipientStatus(it).final]
        verdicts = dict.fromkeys(still_open if dots[key] else [], IN_DOUBT_AT_START)
        endings.append(Ending(key, Settlement(verdicts, now, counted=dots[key]), now))
    answers = await settle(connection, endings)
    await connection.fetch(QUERIES["remove_holders"], dead)
    return [it.owner for it in answers if isinstance(it, Settled) and it.owner is not None]
