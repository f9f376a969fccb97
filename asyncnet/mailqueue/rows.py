"""Between the store's words and the rows of SQLite.  No I/O."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from asyncnet.mail.envelope import Envelope, Route, Server
from asyncnet.mail.problem import Problem
from asyncnet.mail.verdict import JobStatus, Kind, Phase, RecipientStatus, Verdict
from asyncnet.mailqueue.store import (
    AccountState,
    Backlog,
    Claim,
    Lease,
    NewMessage,
    RecipientRecord,
    Record,
    Refusal,
)

Row = tuple[Any, ...]  # what SQLite gives; the order is the query's


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


def told(value: str | bytes) -> str:
    """The inverse of kept()."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def _told_or_none(value: str | bytes | None) -> str | None:
    return None if value is None else told(value)


def json_list(values: Iterable[Any]) -> str:
    """A list for json_each(): one parameter, however many values."""
    return json.dumps(list(values))


def message_row(message: NewMessage, size_octets: int) -> Row:
    """The first twenty-one parameters of insert_message."""
    claim, envelope, route, server = (
        message.claim,
        message.envelope,
        message.route,
        message.route.server,
    )
    return (
        claim.queue_id,
        kept(claim.name),
        kept(claim.job_file),
        claim.claimed_at,
        kept(message.job_id),
        kept(route.key),
        kept(route.account),
        server and kept(server.host),
        server and server.port,
        server and server.tls,
        kept(message.message_id),
        kept(envelope.reverse_path),
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


def refusal_row(refusal: Refusal, now: float) -> Row:
    """The parameters of insert_refusal."""
    claim = refusal.claim
    errors = [(e.field, e.problem, e.suggestion, e.line, e.column) for e in refusal.errors]
    return (
        claim.queue_id,
        kept(claim.name),
        kept(claim.job_file),
        claim.claimed_at,
        kept(refusal.job_id),
        json.dumps(errors),
        json.dumps(refusal.warnings),
        json.dumps(dict(refusal.meta)),
        now,
    )


def recipient_row(job: int, position: int, verdict: Verdict, possible_duplicate: bool) -> Row:
    """The parameters of settle_recipient."""
    return (
        job,
        position,
        verdict.status,
        verdict.code,
        kept(verdict.enhanced),
        verdict.phase,
        verdict.kind,
        kept(verdict.text),
        kept(verdict.hint),
        possible_duplicate,
    )


def lease_from(row: Row, recipients: list[tuple[int, str]]) -> Lease:
    """A row of leased_messages and its recipients, as (position, address)."""
    (_, queue_id, fence, account, host, port, tls_mode, reverse_path, smtputf8, require_tls) = row[
        :10
    ]
    (body_8bit, attempts, message_id, size_octets, priority) = row[10:15]
    (claimed_at, expires_at, on_doubt, inline) = row[15:]
    server = None if host is None else Server(told(host), port, tls_mode)
    return Lease(
        queue_id=queue_id,
        fence=fence,
        route=Route(_told_or_none(account), server),
        envelope=Envelope(
            told(reverse_path),
            tuple(address for _, address in recipients),
            bool(smtputf8),
            bool(require_tls),
            bool(body_8bit),
        ),
        positions=tuple(position for position, _ in recipients),
        attempts=attempts,
        message_id=told(message_id),
        size_octets=size_octets,
        priority=priority,
        claimed_at=claimed_at,
        expires_at=expires_at,
        on_doubt=on_doubt,
        inline=inline,
    )


def record_from(row: Row, recipients: Iterable[RecipientRecord]) -> Record:
    """A row of unreported, records_by_status or find, and its recipients."""
    (_, queue_id, name, job_file, claimed_at, status, job_id, account, server, tls) = row[:10]
    (message_id, reverse_path, size_octets, priority, attempts, due_at, expires_at) = row[10:17]
    (finished_at, errors, warnings, meta) = row[17:]
    return Record(
        claim=Claim(queue_id, told(name), told(job_file), claimed_at),
        status=JobStatus(status),
        job_id=_told_or_none(job_id),
        account=_told_or_none(account),
        server=_told_or_none(server),
        tls=None if tls is None else json.loads(tls),
        message_id=_told_or_none(message_id),
        envelope_from=_told_or_none(reverse_path),
        size_octets=size_octets,
        priority=priority,
        attempts=attempts,
        due_at=due_at,
        expires_at=expires_at,
        finished_at=finished_at,
        recipients=tuple(recipients),
        errors=tuple(Problem(*error) for error in json.loads(errors)),
        warnings=tuple(json.loads(warnings)),
        meta=json.loads(meta),
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


def account_state_row(state: AccountState) -> Row:
    """The parameters of set_account_state."""
    return (
        kept(state.name),
        state.state,
        float(state.until),
        state.since,
        state.failures,
        kept(state.reason),
        kept(state.hint),
    )


def account_states_from(rows: Iterable[Row]) -> Mapping[str, AccountState]:
    states = (
        AccountState(told(name), state, until, since, failures, told(reason), _told_or_none(hint))
        for name, state, until, since, failures, reason, hint in rows
    )
    return {state.name: state for state in states}


def backlogs_from(rows: Iterable[Row]) -> Mapping[str, Backlog]:
    return {told(key): Backlog(messages, due_at) for key, messages, due_at in rows}
