"""From a ready message (NAME.eml) to what the store takes over: its octets, envelope and way.

Each half of the envelope comes from NAME.envelope.yaml where that says it, else from the
header.  The same file, orders, time and seed give the same octets.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from asyncnet.mail.letter import Content
from asyncnet.mail.problem import Problem
from asyncnet.mime.encoding import MAX_LINE_OCTETS
from asyncnet.mime.header import field, format_date
from asyncnet.mime.message import message_id
from asyncnet.mime.ready import (
    NEVER_SENT,
    BadMessage,
    HeaderField,
    Reading,
    ReadyMessage,
    read_message,
    ready_message,
)
from asyncnet.mime.ready_header import HeaderEnvelope, header_envelope, repeated, text_problem
from asyncnet.spool.assemble import (
    Outgoing,
    Rules,
    envelope_of,
    route_of,
    times_of,
    warnings_of_times,
)
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job import Job
from asyncnet.spool.ready_orders import Orders, of_envelope


@dataclass(slots=True)
class AssembledReady(Outgoing):
    """All that a ready message becomes."""

    content: ReadyMessage


def assemble_ready(
    content: Content, orders: Orders, rules: Rules, *, now: float, seed: str
) -> AssembledReady:
    """The message as it leaves and all that goes with it.

    Raises JobRefused, or what content.blocks() raises.
    """
    try:
        reading = read_message(content)
    except BadMessage as error:
        raise JobRefused((error.problem,)) from error
    kept = [field for field in reading.fields if field.name not in NEVER_SENT]
    problem = text_problem(reading.fields)
    if problem is not None:
        raise JobRefused((problem,))
    job = _job(header_envelope(reading.fields), orders)
    route = route_of(job, rules)
    if isinstance(route, Problem):
        raise JobRefused((of_envelope(route),))
    envelope = envelope_of(
        job,
        smtputf8=not b"".join(field.octets for field in kept).isascii(),
        body_8bit=reading.body_8bit,
    )
    identifier, added = _added(reading, now, seed, job.from_.addr_spec.rpartition("@")[2])
    due_at, expires_at = times_of(job, rules.queue, now)
    return AssembledReady(
        content=ready_message(content, reading, added),
        message_id=identifier,
        envelope=envelope,
        route=route,
        due_at=due_at,
        expires_at=expires_at,
        job_id=job.id,
        priority=job.priority,
        on_doubt=job.on_doubt or rules.queue.on_doubt,
        meta=job.meta,
        warnings=(
            *(
                f"{name}: stands more than once in the header; readers differ in which they show"
                for name in repeated(kept)
            ),
            *warnings_of_times(job, now),
        ),
    )


def _job(header: HeaderEnvelope, orders: Orders) -> Job:
    """The envelope and its way as a job without a letter.  Raises JobRefused."""
    problems = header.problems_of_sender
    known: dict[str, object] = {}
    if "to" not in orders.values:
        problems += header.problems_of_recipients
        known["to"] = header.recipients
    if problems or header.author is None or header.sender is None:
        raise JobRefused(problems)
    return orders.job(header.author, envelope_from=header.sender.addr_spec, **known)


def _added(reading: Reading, now: float, seed: str, domain: str) -> tuple[str, list[str]]:
    """The Message-ID, and the fields that the header lacks."""
    added = []
    if _first(reading, "date") is None:
        moment = datetime.fromtimestamp(int(now), UTC)
        added.append(field("Date", (format_date(moment),)))
    given = _first(reading, "message-id")
    if given is not None:
        text = given.value.decode("utf-8", "replace")
        return "".join(c for c in text if c.isprintable())[:MAX_LINE_OCTETS], added
    identifier = message_id(seed, domain)
    return identifier, [*added, field("Message-ID", (identifier,))]


def _first(reading: Reading, name: str) -> HeaderField | None:
    return next((field for field in reading.fields if field.name == name), None)
