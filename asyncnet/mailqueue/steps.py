"""The steps of a job's life as SQLite does them: each function is an operation of the writer.

The frequent ones do many calls at once.  What a step raises undoes all of it; the writer then does
it again call by call.  Nothing here reads a clock, touches a file or knows of asyncio.
"""

import itertools
import json
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

import apsw

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.connection import QUERIES
from asyncnet.mailqueue.contentfile import Place
from asyncnet.mailqueue.damage import all_reached, fetched, set_aside
from asyncnet.mailqueue.mending import UNREADABLE
from asyncnet.mailqueue.rows import (
    Row,
    json_list,
    kept,
    lease_from,
    message_row,
    recipient_row,
    told,
)
from asyncnet.mailqueue.settling import IN_DOUBT_AT_START, judged, standing_after
from asyncnet.mailqueue.store import Acceptance, Lease, LeaseLost, NewMessage, Settlement
from asyncnet.mailqueue.turns import Turns
from asyncnet.mailqueue.words import cancel

PURGE_ROWS = 500  # a step: the writer is nobody's alone for long

# Bound once: a mapping lookup per statement is measurable at this rate.
_PRESENT_TURN = QUERIES["present_turn"]
_INSERT_MESSAGE = QUERIES["insert_message"]
_INSERT_RECIPIENT = QUERIES["insert_recipient"]
_INSERT_CONTENT = QUERIES["insert_content"]
_FIND_TWIN = QUERIES["find_twin"]
_SETTLE_RECIPIENT = QUERIES["settle_recipient"]
_FINISH = QUERIES["finish"]
_WAIT_AGAIN = QUERIES["wait_again"]


class Arrival(NamedTuple):
    """A message to take over: its content comes along, or lies in a file."""

    message: NewMessage
    size_octets: int
    content: bytes | Place
    now: float


def accept(
    cursor: apsw.Cursor, arrivals: Sequence[Arrival], *, window_s: float, turns: Turns
) -> list[Acceptance]:
    """Insert messages, duplicates as such."""
    outcomes: list[Acceptance] = []
    recipients: list[Row] = []
    contents: list[Row] = []
    duplicates: list[Row] = []
    for message, size_octets, content, now in arrivals:
        row = message_row(message, size_octets)
        twin = _twin(cursor, message, window_s)
        state: Row
        if twin is None:
            turn = _turn(cursor, row, turns) if message.due_at <= now else 0
            place = content if isinstance(content, Place) else (None, None)
            state = (JobStatus.QUEUED, "waiting", message.due_at, None, turn, *place)
        else:
            state = (JobStatus.DUPLICATE, "finished", None, now, 0, None, None)
        cursor.execute(_INSERT_MESSAGE, row + state)
        if not cursor.connection.changes():
            outcomes.append(Acceptance.KNOWN)
            continue
        job = cursor.connection.last_insert_rowid()
        for position, address in enumerate(message.envelope.recipients):
            recipients.append((job, position, kept(address)))
        if twin is not None:
            duplicates.append((job, f"duplicate of {twin}"))
        elif not isinstance(content, Place):
            contents.append((job, content))
        outcomes.append(Acceptance.QUEUED if twin is None else Acceptance.DUPLICATE)
    cursor.executemany(_INSERT_RECIPIENT, recipients)
    cursor.executemany(_INSERT_CONTENT, contents)
    cursor.executemany(QUERIES["cancel_recipients"], duplicates)
    return outcomes


def _twin(cursor: apsw.Cursor, message: NewMessage, window_s: float) -> str | None:
    """The queue id of the job that it is a duplicate of."""
    if message.job_id is None:
        return None
    queue_id, at = message.claim.queue_id, message.claim.claimed_at
    wanted = (kept(message.job_id), at - window_s, at + window_s, queue_id)
    found = cursor.execute(_FIND_TWIN, wanted).fetchone()
    return None if found is None else str(found[0])


def _turn(cursor: apsw.Cursor, row: Row, turns: Turns) -> int:
    lane, reverse_path = (row[5], row[15]), row[11]
    if not turns.knows(lane):
        first = cursor.execute(_PRESENT_TURN, lane).fetchone()
        turns.now_at(lane, None if first is None else first[0])
    return turns.take(lane, reverse_path)


def refuse(cursor: apsw.Cursor, row: Row) -> None:
    """Insert a job that is finished from the start."""
    cursor.execute(QUERIES["insert_refusal"], row)


class Leased(NamedTuple):
    """What a lease step gives, and how many it had to set aside."""

    leases: list[Lease]
    set_aside: int = 0


def lease(cursor: apsw.Cursor, now: float, limit: int, passing_over: str, turns: Turns) -> Leased:
    """Lease what is over, then what is due, limit in all; passing_over is a JSON list."""
    ids = _leased_now(cursor, [job for (job,) in fetched(cursor, "over", now, limit)])
    if len(ids) < limit:
        ids += _leased_now(cursor, _due(cursor, now, limit - len(ids), passing_over))
    if not ids:
        return Leased([])
    turns.move_on()
    try:
        return Leased(_leases(cursor, ids))
    except UNREADABLE:
        return _leases_one_by_one(cursor, ids, now)


def _due(cursor: apsw.Cursor, now: float, limit: int, passing_over: str) -> list[int]:
    """What is due, in the order of sending: of one priority each open lane gives the first few of
    its line and of those that go by their time; and the first of each come before any second.
    """
    ids: list[int] = []
    fronts = fetched(cursor, "fronts", now, passing_over)
    for _, group in itertools.groupby(fronts, key=itemgetter(0)):
        alike, left = list(group), limit - len(ids)
        found: list[Row] = [(0, *row) for _, _, *row in alike]
        if len(alike) < left:
            found = []
            for _, query, *_, first in alike:
                behind = fetched(cursor, query, first, left, now)
                found += [(place, *row) for place, row in enumerate(behind)]
        found.sort()
        ids += [job for *_, job in found[:left]]
        if len(ids) == limit:
            break
    return ids


def _leased_now(cursor: apsw.Cursor, ids: list[int]) -> list[int]:
    if ids:
        cursor.execute(QUERIES["lease"], (json_list(ids),))
    return ids


def _leases(cursor: apsw.Cursor, ids: list[int]) -> list[Lease]:
    recipients: dict[int, list[tuple[int, str]]] = {job: [] for job in ids}
    listed = json_list(ids)
    for job, position, address in fetched(cursor, "open_recipients", listed):
        recipients[job].append((position, told(address)))
    return [_lease(row, recipients[row[0]]) for row in fetched(cursor, "leased_messages", listed)]


def _lease(row: Row, recipients: list[tuple[int, str]]) -> Lease:
    *told_of_it, inline, file, start = row
    place = None if file is None else Place.told(file, start)
    if (inline is None) == (place is None):
        raise ValueError("a message has its content in its row or in a file")
    return lease_from((*told_of_it, inline), recipients, place)


def _leases_one_by_one(cursor: apsw.Cursor, ids: list[int], now: float) -> Leased:
    """Without those that cannot be read, which are finished with the reason."""
    good, reasons = [], []
    for job in ids:
        try:
            _leases(cursor, [job])
            good.append(job)
        except UNREADABLE as error:
            reasons.append(str(error))
            set_aside(cursor, job, str(error), now)
    return Leased(_leases(cursor, good), len(reasons))


def unlease(cursor: apsw.Cursor, leases: Sequence[Lease], now: float) -> None:
    """Give back leases that nobody received, as if they had never been."""
    cursor.executemany(QUERIES["unlease"], [(lease.queue_id, lease.fence) for lease in leases])
    nothing = Settlement({}, now, counted=False)
    with_a_word = fetched(cursor, "leased_jobs", _listed(leases))
    _settle(cursor, [(row[2:], nothing, now) for row in with_a_word])


def mark_dots(cursor: apsw.Cursor, leases: Sequence[Lease]) -> list[None]:
    """Raises LeaseLost."""
    cursor.execute(QUERIES["mark_dots"], (_listed(leases),))
    if cursor.connection.changes() != len(leases):
        raise LeaseLost(f"{leases[0].queue_id} is leased to another by now")
    return [None] * len(leases)


class Ending(NamedTuple):
    """An attempt to settle."""

    lease: Lease
    settlement: Settlement
    now: float


def settle(cursor: apsw.Cursor, endings: Sequence[Ending]) -> list[bool]:
    """Whether each job is finished.  Raises LeaseLost."""
    rows = fetched(cursor, "leased_jobs", _listed([it.lease for it in endings]))
    leased = {row[:2]: row[2:] for row in rows}
    found = []
    for lease, settlement, now in endings:
        row = leased.pop((lease.queue_id, lease.fence), None)
        if row is None:
            raise LeaseLost(f"{lease.queue_id} is leased to another by now")
        found.append((row, settlement, now))
    return _settle(cursor, found)


def _listed(leases: Sequence[Lease]) -> str:
    return json_list([(lease.queue_id, lease.fence) for lease in leases])


def judge_at_start(cursor: apsw.Cursor, now: float) -> None:
    """Take back every lease; those with a dot mark are in doubt."""
    cursor.execute(QUERIES["take_back_leases"])
    for (job,) in fetched(cursor, "leased_ids"):
        try:
            _judge(cursor, job, now)
        except UNREADABLE as error:
            set_aside(cursor, job, str(error), now)
    for (job,) in fetched(cursor, "incomplete"):
        set_aside(cursor, job, "it names no account or no time", now)


def _judge(cursor: apsw.Cursor, job: int, now: float) -> None:
    ((*row, dot),) = fetched(cursor, "left_leased", job)
    open_ones = fetched(cursor, "open_recipients", json_list([job])) if dot else []
    verdicts = {position: IN_DOUBT_AT_START for _, position, _ in open_ones}
    _settle(cursor, [(tuple(row), Settlement(verdicts, now, counted=bool(dot)), now)])


def clock_put_back(cursor: apsw.Cursor, by_s: float, before: float) -> None:
    cursor.execute(QUERIES["put_back_due"], (by_s, before))
    cursor.execute(QUERIES["put_back_accounts"], (by_s,))


def mark_reported(cursor: apsw.Cursor, queue_ids: str) -> list[str]:
    """Drop small contents; return the content files that are to go."""
    jobs = fetched(cursor, "mark_reported", queue_ids)
    cursor.execute(QUERIES["drop_content"], (json_list(job for job, _ in jobs),))
    files = _names({file for _, file in jobs if file is not None})
    return unneeded(cursor, files) if files else []


def unneeded(cursor: apsw.Cursor, files: Collection[str]) -> list[str]:
    """Those of some content files that hold nothing for a job which is not finished."""
    return [file for (file,) in fetched(cursor, "unneeded_files", json_list(files))]


def set_account_state(cursor: apsw.Cursor, row: Row) -> None:
    cursor.execute(QUERIES["set_account_state"], row)


def purge(cursor: apsw.Cursor, before: float) -> int:
    """Forget up to PURGE_ROWS jobs; return how many."""
    cursor.execute(QUERIES["purge"], (before, PURGE_ROWS))
    return cursor.connection.changes()


def needed_files(cursor: apsw.Cursor) -> frozenset[str]:
    """The content files that hold something for a job which is not finished."""
    return _names(file for (file,) in fetched(cursor, "needed_files"))


def _names(files: Iterable[bytes]) -> frozenset[str]:
    return frozenset(file.decode("utf-8", "replace") for file in files)  # one may be damaged


def _settle(cursor: apsw.Cursor, endings: Sequence[tuple[Row, Settlement, float]]) -> list[bool]:
    """Whether each job is finished; the rows are those of leased_jobs from the id on."""
    verdicts: list[Row] = []
    holds = []
    for (job, _, on_doubt, *_), settlement, _ in endings:
        found, hold = judged(settlement, on_doubt)
        verdicts += [recipient_row(job, *it) for it in found]
        holds.append(hold)
    cursor.executemany(_SETTLE_RECIPIENT, verdicts)
    statuses = all_reached(cursor, [leased[0] for leased, _, _ in endings])
    finished: list[Row] = []
    waiting: list[Row] = []
    outcomes = []
    for (leased, settlement, now), hold in zip(endings, holds, strict=True):
        job, before, _, word, note = leased
        standing = standing_after(statuses[job], settlement, before, hold=hold, word=word)
        tls = None if settlement.tls is None else json.dumps(dict(settlement.tls))
        tail = (settlement.counted, kept(settlement.server), tls)
        if standing.cancel:
            cancel(cursor, job, told(note), now, tail)
        elif standing.finished:
            finished.append((job, standing.status, now, *tail))
        else:
            waiting.append((job, standing.stage, standing.status, settlement.due_at, *tail))
        outcomes.append(standing.finished)
    cursor.executemany(_FINISH, finished)
    cursor.executemany(_WAIT_AGAIN, waiting)
    return outcomes
