"""Between the store's words and the rows of its tables.  No I/O.

Outside text goes through keep, which is the engine's own: see kept() and octets().
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, get_args

from asyncnet.mail.envelope import Envelope, Route, Server, TlsMode
from asyncnet.mail.verdict import JobStatus, Kind, Phase, RecipientStatus, Verdict
from asyncnet.mailqueue.mending import UNREADABLE, as_problem, json_text, moment
from asyncnet.mailqueue.store import (
    AccountState,
    Backlog,
    Claim,
    Effect,
    Instructed,
    Lease,
    NewMessage,
    OnDoubt,
    RecipientRecord,
    Record,
    Refusal,
    Word,
)

Row = tuple[Any, ...]  # what the engine gives; the order is the query's

_ON_DOUBT = frozenset(get_args(OnDoubt))
_STATES = ("ok", "throttled", "held", "down")
_TLS_MODES = frozenset(get_args(TlsMode))
Keep = Callable[[str | None], str | bytes | None]


def kept(value: str | None) -> str | bytes | None:
    """The text as SQLite can keep it: what is not Unicode becomes a BLOB.

    A file name that is no UTF-8 arrives with lone surrogates (PEP 383).
    """
    if value is None or value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")
    return value


def octets(value: str | None) -> bytes | None:
    """The text as PostgreSQL can keep it: its text knows neither lone surrogates nor NUL."""
    return None if value is None else value.encode("utf-8", "surrogatepass")


def told(value: str | bytes) -> str:
    """The inverse of kept() and of octets().  Raises ValueError and TypeError as all here does:

    a damaged row may hold anything.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        raise TypeError(f"{value!r} is no text")
    return value.decode("utf-8", "surrogatepass")


def _told_or_none(value: str | bytes | None) -> str | None:
    return None if value is None else told(value)


def _dict(text: str) -> dict[str, Any]:
    """What a column holds as JSON.  Most hold nothing."""
    value: dict[str, Any] = {} if text == "{}" else json.loads(json_text(text, dict))
    return value


def _list(text: str) -> list[Any]:
    value: list[Any] = [] if text == "[]" else json.loads(json_text(text, list))
    return value


def json_list(values: Iterable[Any]) -> str:
    """A list for json_each(): one parameter, however many values."""
    return json.dumps(list(values))


def message_row(message: NewMessage, size_octets: int, keep: Keep = kept) -> Row:
    """The first twenty-one parameters of insert_message."""
    claim, envelope, route, server = (
        message.claim,
        message.envelope,
        message.route,
        message.route.server,
    )
    return (
        claim.queue_id,
        keep(claim.name),
        keep(claim.job_file),
        claim.claimed_at,
        keep(message.job_id),
        keep(route.key),
        keep(route.account),
        server and keep(server.host),
        server and server.port,
        server and server.tls,
        keep(message.message_id),
        keep(envelope.reverse_path),
        envelope.smtputf8,
        envelope.require_tls,
        size_octets,
        message.priority,
        message.expires_at,
        message.on_doubt,
        json.dumps(message.warnings) if message.warnings else "[]",
        json.dumps(dict(message.meta)) if message.meta else "{}",
        envelope.body_8bit,
    )


def refusal_row(refusal: Refusal, now: float, keep: Keep = kept) -> Row:
    """The parameters of insert_refusal."""
    claim = refusal.claim
    errors = [(e.field, e.problem, e.suggestion, e.line, e.column) for e in refusal.errors]
    return (
        claim.queue_id,
        keep(claim.name),
        keep(claim.job_file),
        claim.claimed_at,
        keep(refusal.job_id),
        json.dumps(errors),
        json.dumps(refusal.warnings),
        json.dumps(dict(refusal.meta)),
        now,
    )


def recipient_row(
    job: int, position: int, verdict: Verdict, possible_duplicate: bool, keep: Keep = kept
) -> Row:
    """The parameters of settle_recipient."""
    return (
        job,
        position,
        verdict.status,
        verdict.code,
        keep(verdict.enhanced),
        verdict.phase,
        verdict.kind,
        keep(verdict.text),
        keep(verdict.hint),
        possible_duplicate,
    )


def lease_from(
    row: Row, recipients: list[tuple[int, str]], place: tuple[str, int] | None = None
) -> Lease:
    """A row of leased_messages and its recipients, as (position, address)."""
    (_, queue_id, fence, account, host, port, tls_mode, reverse_path, smtputf8, require_tls) = row[
        :10
    ]
    (body_8bit, attempts, message_id, size_octets, priority) = row[10:15]
    (claimed_at, expires_at, on_doubt, inline) = row[15:]
    if on_doubt not in _ON_DOUBT:
        raise ValueError("a message has a way out of a doubt")
    if not recipients or size_octets is None or expires_at is None:
        raise ValueError("a message has recipients, a size and an end of its time")
    if inline is not None and len(inline) != size_octets:
        raise ValueError(f"the content has {len(inline)} octets where {size_octets} were taken in")
    return Lease(
        queue_id=queue_id,
        fence=fence,
        route=_route(account, host, port, tls_mode),
        envelope=Envelope(
            told(reverse_path),
            tuple([address for _, address in recipients]),
            bool(smtputf8),
            bool(require_tls),
            bool(body_8bit),
            queue_id,
        ),
        positions=tuple([position for position, _ in recipients]),
        attempts=attempts,
        message_id=told(message_id),
        size_octets=size_octets,
        priority=priority,
        claimed_at=claimed_at,
        expires_at=expires_at,
        on_doubt=on_doubt,
        inline=inline,
        place=place,
    )


@lru_cache(maxsize=256)  # nearly all mail goes by a few of them
def _route(
    account: str | bytes | None, host: str | bytes | None, port: int, tls_mode: TlsMode
) -> Route:
    if (account is None) == (host is None):
        raise ValueError("a message has one route")
    if host is None:
        return Route(_told_or_none(account))
    if tls_mode not in _TLS_MODES or not 0 < port < 65_536:
        raise ValueError("a server has a port and a way of TLS")
    return Route(server=Server(told(host), port, tls_mode))


def record_from(row: Row, recipients: Iterable[RecipientRecord]) -> Record:
    """A row of unreported, records_by_status or find, and its recipients."""
    (_, queue_id, name, job_file, claimed_at, status, job_id, account, server, tls) = row[:10]
    (message_id, reverse_path, size_octets, priority, attempts, due_at, expires_at) = row[10:17]
    (finished_at, errors, warnings, meta, note) = row[17:]
    return Record(
        claim=Claim(queue_id, told(name), told(job_file), moment(claimed_at)),
        status=JobStatus(status),
        job_id=_told_or_none(job_id),
        account=_told_or_none(account),
        server=_told_or_none(server),
        tls=None if tls is None else _dict(tls),
        message_id=_told_or_none(message_id),
        envelope_from=_told_or_none(reverse_path),
        size_octets=size_octets,
        priority=priority,
        attempts=attempts,
        due_at=due_at,
        expires_at=expires_at,
        finished_at=None if finished_at is None else moment(finished_at),
        recipients=tuple(recipients),
        errors=tuple([as_problem(error) for error in _list(errors)]),
        warnings=tuple([told(warning) for warning in _list(warnings)]),
        meta=_dict(meta),
        note=told(note),
    )


def instructed_from(row: Row, effect: Effect) -> Instructed:
    """A row of standing, after a word was said."""
    (_, queue_id, name, job_id, route_key, _, status, due_at, expires_at, word, _) = row
    return Instructed(
        queue_id=queue_id,
        name=told(name),
        job_id=_told_or_none(job_id),
        account=told(route_key or ""),
        effect=effect,
        status=JobStatus(status),
        due_at=due_at,
        expires_at=expires_at,
        pending=None if word is None else Word(word),
    )


def recipient_from(row: Row) -> tuple[int, RecipientRecord]:
    """A row of recipients: the job's row id, and the recipient."""
    job, address, status, code, enhanced, phase, kind, text, hint, possible_duplicate = row
    verdict = Verdict(
        RecipientStatus(status),
        code,
        _told_or_none(enhanced),
        None if phase is None else Phase(phase),
        None if kind is None else Kind(kind),
        told(text),
        _told_or_none(hint),
    )
    return job, RecipientRecord(told(address), verdict, bool(possible_duplicate))


def account_state_row(state: AccountState, keep: Keep = kept) -> Row:
    """The parameters of set_account_state."""
    return (
        keep(state.name),
        state.state,
        float(state.until),
        state.since,
        state.failures,
        keep(state.reason),
        keep(state.hint),
    )


def account_states_from(rows: Iterable[Row]) -> Mapping[str, AccountState]:
    """Those that can be read: of a damaged one nothing is known, so its account is tried."""
    states = {}
    for name, state, until, since, failures, reason, hint in rows:
        with contextlib.suppress(*UNREADABLE):
            if told(state) in _STATES:
                states[told(name)] = AccountState(
                    told(name),
                    told(state),  # type: ignore[arg-type]
                    until,
                    since,
                    failures,
                    told(reason),
                    _told_or_none(hint),
                )
    return states


def backlogs_from(rows: Iterable[Row]) -> Mapping[str, Backlog]:
    return {told(key): Backlog(messages, due_at) for key, messages, due_at in rows}
