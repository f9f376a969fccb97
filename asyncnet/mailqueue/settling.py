"""What one attempt makes of a job, for every engine: the arithmetic of settle().  No I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from asyncnet.mail.verdict import JobStatus, Phase, RecipientStatus, Verdict, job_status
from asyncnet.mailqueue.store import Effect, OnDoubt, Settlement, Word

IN_DOUBT_AT_START = Verdict(
    RecipientStatus.IN_DOUBT,
    phase=Phase.DOT,
    text="the daemon ended between the final dot and the server's reply",
)


class Judged(NamedTuple):
    """A verdict as it is written down: a doubt that is retried is a deferral."""

    position: int
    verdict: Verdict
    possible_duplicate: bool


class Standing(NamedTuple):
    """Where a job stands after an attempt.  cancel: its open recipients are to be canceled."""

    stage: str
    status: str
    cancel: bool = False

    @property
    def finished(self) -> bool:
        return self.stage == "finished"


def judged(settlement: Settlement, on_doubt: OnDoubt) -> tuple[list[Judged], bool]:
    """The verdicts to write, and whether a doubt among them parks the message."""
    found, doubted = [], False
    for position, verdict in settlement.verdicts.items():
        again = verdict.status is RecipientStatus.IN_DOUBT and on_doubt != "fail"
        doubted = doubted or again
        kept = replace(verdict, status=RecipientStatus.DEFERRED) if again else verdict
        found.append(Judged(position, kept, again))
    return found, doubted and on_doubt == "hold"


def written_over(
    statuses: Sequence[RecipientStatus], verdicts: Iterable[Judged]
) -> list[RecipientStatus]:
    """The statuses with the verdicts on them; a final one is never overwritten."""
    after = list(statuses)
    for it in verdicts:
        if not after[it.position].final:
            after[it.position] = it.verdict.status
    return after


def standing_after(
    reached: Iterable[RecipientStatus],
    settlement: Settlement,
    before: str,
    *,
    hold: bool,
    word: str | None,
) -> Standing:
    """reached are the recipients' statuses, before is the job's, word a person's meanwhile.

    hold: a doubt parks the message.
    """
    statuses = list(reached)
    if all([status.final for status in statuses]):
        return Standing("finished", job_status(statuses))
    if word == Word.CANCEL:
        canceled = [it if it.final else RecipientStatus.CANCELED for it in statuses]
        return Standing("finished", job_status(canceled), cancel=True)
    if hold or settlement.hold or word == Word.HOLD:
        return Standing("held", JobStatus.HELD)
    tried = settlement.counted or settlement.verdicts
    return Standing("waiting", JobStatus.DEFERRED if tried else before)


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a word does to a message: note it, or let it stand so (None: as it stands)."""

    effect: Effect
    note: bool = False
    park: bool = False
    cancel: bool = False
    wait: tuple[JobStatus, float] | None = None


def instruction(
    word: Word, stage: str, due_at: float | None, tried: bool, now: float
) -> Instruction:
    """What a word does to a message in that stage; tried: an attempt reached a verdict.

    due_at is None for one that is finished.
    """
    if stage == "finished" or due_at is None:
        return Instruction(Effect.FINISHED)
    if stage == "leased":
        return Instruction(Effect.UNDER_WAY, note=True)
    if word is Word.CANCEL:
        return Instruction(Effect.DONE, cancel=True)
    if word is Word.HOLD:
        held = stage == "held"
        return Instruction(Effect.UNCHANGED if held else Effect.DONE, park=not held)
    if stage == "waiting" and (word is Word.RELEASE or due_at <= now):
        return Instruction(Effect.UNCHANGED)
    if not tried and due_at > now:
        again = (JobStatus.QUEUED, due_at) if stage == "held" else None
        return Instruction(Effect.SCHEDULED, wait=again)
    return Instruction(Effect.DONE, wait=(JobStatus.DEFERRED if tried else JobStatus.QUEUED, now))


def cancel_text(reason: str) -> str:
    """What a recipient's record says of a cancellation."""
    return f"canceled by hand: {reason}" if reason else "canceled by hand"
