"""The result of an earlier attempt that lies beside a job: who has the mail already.  No I/O.

Whoever moves NAME.yaml and NAME.result.json from failed/ back to pickup/ has the job sent to
those alone who did not get it.  The new result tells of both, so that it can lie beside the
job once more.

A result names the letter that was accepted.  Beside a job with another letter (a new one of the
same name, or one whose text was changed) it says nothing that we could go by: leaving people out
would hide a message from them, and sending to all could be what its owner meant to avoid.  Such
a job is refused, and its owner told who has what.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from asyncnet.mail.problem import Problem
from asyncnet.mail.verdict import JobStatus, RecipientStatus, job_status
from asyncnet.spool.assemble import Outgoing, same_address
from asyncnet.spool.errors import JobRefused

MAX_RESULT_OCTETS = 67_108_864  # 100,000 recipients with an answer each
MAX_TOLD = 20  # addresses in a warning; the result lists them all

LETTER = "letter_sha256"  # of a result: see letter_digest.py; only where it may be moved back
BESIDE = "the .result.json beside the job"  # so begins what is wrong with it, not with the job

_TEXTS = ("enhanced", "phase", "class", "text", "hint")

SomeOutgoing = TypeVar("SomeOutgoing", bound=Outgoing)


@dataclass(frozen=True, slots=True)
class Earlier:
    """accepted are entries of recipients as the result has them, of status accepted."""

    queue_id: str
    job_id: str | None
    accepted: tuple[Mapping[str, Any], ...]
    letter: str | None = None  # the digest of what they accepted


def read_earlier(octets: bytes) -> Earlier:
    """The attempt that a result tells of.  Raises JobRefused: unfinished where it is cut off."""
    try:
        document = json.loads(octets)
    except (ValueError, RecursionError) as error:
        raise _no_result(unfinished=True) from error
    if not isinstance(document, dict) or document.get("schema") != 1:
        raise _no_result()
    queue_id, recipients = document.get("queue_id"), document.get("recipients")
    if not isinstance(queue_id, str) or not isinstance(recipients, list):
        raise _no_result()
    job_id, letter = document.get("id"), document.get(LETTER)
    return Earlier(
        queue_id=queue_id,
        job_id=job_id if isinstance(job_id, str) else None,
        accepted=tuple(_entry(it) for it in recipients if _is_accepted(it)),
        letter=letter if isinstance(letter, str) else None,
    )


def without_accepted(outgoing: SomeOutgoing, earlier: Earlier, letter: str) -> SomeOutgoing:
    """The same for those who have not got it.

    Raises JobRefused where that is nobody, or where others accepted something else than letter.
    The idempotency key is left out where it is the earlier attempt's: this is no second job.
    """
    if earlier.letter != letter:
        if earlier.accepted:
            raise _another_letter(earlier)
        return outgoing
    had = {same_address(entry["address"]) for entry in earlier.accepted}
    recipients = outgoing.envelope.recipients
    left = tuple(it for it in recipients if same_address(it) not in had)
    job_id = None if outgoing.job_id == earlier.job_id else outgoing.job_id
    if len(left) == len(recipients):
        return replace(outgoing, job_id=job_id)
    who = _told([it for it in recipients if same_address(it) in had])
    before = f"already accepted by an earlier attempt ({earlier.queue_id})"
    if not left:
        advice = "take NAME.result.json away to send it to all of them again"
        raise JobRefused((Problem("", f"{before}, all of them: {who}", advice),))
    return replace(
        outgoing,
        envelope=replace(outgoing.envelope, recipients=left),
        job_id=job_id,
        warnings=(*outgoing.warnings, f"{before}: {who}"),
    )


def was_refused(errors: Iterable[Problem]) -> bool:
    """Whether a job was refused for the result beside it, whatever that holds."""
    return any(it.problem.startswith(BESIDE) for it in errors)


def may_be_joined(earlier: Earlier, letter: str | None) -> bool:
    """Whether the result of a job of letter tells of the earlier attempt, too.

    letter is None where the job cannot be read: put right, it may come again.  Who has another
    letter is told of as well: such a job was refused, for that or for something else.
    """
    return bool(earlier.accepted) or letter is None or letter == earlier.letter


def joined(document: dict[str, Any], earlier: Earlier) -> dict[str, Any]:
    """A result that tells of the earlier attempt's accepted recipients, too."""
    had = {same_address(entry["address"]) for entry in earlier.accepted}
    own = [it for it in document["recipients"] if same_address(it["address"]) not in had]
    recipients = [*earlier.accepted, *own]
    status = document["status"]
    if own and status not in (JobStatus.INVALID, JobStatus.DUPLICATE):
        status = str(job_status(RecipientStatus(it["status"]) for it in recipients))
    job_id = earlier.job_id if document["id"] is None else document["id"]
    whole = {**document, "id": job_id, "status": status, "recipients": recipients}
    return whole if earlier.letter is None else {**whole, LETTER: earlier.letter}


def _is_accepted(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("address"), str)
        and entry.get("status") == RecipientStatus.ACCEPTED
    )


def _entry(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry with nothing in it but what a result has: anybody may have written the file."""
    texts = {key: found[key] if isinstance(found.get(key), str) else None for key in _TEXTS}
    code = found.get("code")
    return {
        "address": found["address"],
        "status": str(RecipientStatus.ACCEPTED),
        "code": code if type(code) is int else None,
        **texts,
        "text": texts["text"] or "",
        "possible_duplicate": found.get("possible_duplicate") is True,
    }


def _another_letter(earlier: Earlier) -> JobRefused:
    who = _told([entry["address"] for entry in earlier.accepted])
    what = "says not which message" if earlier.letter is None else "is of another or a changed one"
    problem = f"{BESIDE} ({earlier.queue_id}) {what}, accepted by {who}"
    advice = "moved back now, the job goes to all its recipients; leave out of it who has the mail"
    return JobRefused((Problem("", problem, advice),))


def _told(addresses: list[str]) -> str:
    more = len(addresses) - MAX_TOLD
    return ", ".join(addresses[:MAX_TOLD]) + (f" and {more:,} more" if more > 0 else "")


def _no_result(*, unfinished: bool = False) -> JobRefused:
    problem = Problem(
        "",
        f"{BESIDE} is no result of an earlier attempt",
        "take it away to send to all recipients",
    )
    return JobRefused((problem,), unfinished=unfinished)
