"""What one attempt comes to: the judgements of all its recipients put together.  No I/O."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from asyncnet.config.sections import QueueSettings
from asyncnet.delivery.judgement import BEFORE_MAIL, DOUBT_HINT, Action, Judgement
from asyncnet.delivery.schedule import next_attempt
from asyncnet.mail.verdict import Phase, RecipientStatus, Scope, Verdict
from asyncnet.mailqueue.store import AccountState, Lease


class Outcome(NamedTuple):
    """Verdicts by position, and what follows from them.

    retry_at: when the positions that back off are tried again.  go_on: others of the message
    may go at once.  counted: the attempt uses up one of the schedule.  trouble: the account's,
    if it is in any.  healthy: the server spoke about the message and not about the account.
    """

    verdicts: Mapping[int, Verdict]
    retry_at: Mapping[int, float]
    go_on: bool
    counted: bool
    trouble: Judgement | None

    @property
    def healthy(self) -> bool:
        return self.trouble is None and any([v.code is not None for v in self.verdicts.values()])


def combine(
    lease: Lease,
    judgements: Mapping[int, Judgement],
    settings: QueueSettings,
    now: float,
    chance: float,
    *,
    untouched: bool,
) -> Outcome:
    """Put the judgements of the positions tried together; untouched: there are more to try."""
    accepted, in_doubt = RecipientStatus.ACCEPTED, RecipientStatus.IN_DOUBT
    taken = any([j.verdict.status is accepted for j in judgements.values()])
    heard = taken or _heard(judgements.values())
    verdicts: dict[int, Verdict] = {}
    waiting: list[int] = []
    delays_s: list[float] = []
    trouble: Judgement | None = None
    more = untouched
    for position, judgement in judgements.items():
        it = _settled(judgement, taken=taken, heard=heard)
        verdicts[position] = it.verdict
        if it.action is Action.BACK_OFF or it.verdict.status is in_doubt:
            waiting.append(position)
            if it.delay_s is not None:
                delays_s.append(it.delay_s)
        if trouble is None and it.scope is Scope.ACCOUNT:
            trouble = it
        more = more or it.action in (Action.NEXT_TRANSACTION, Action.ITS_TURN)
    retry_at = {}
    if waiting:
        # They share one time: the longest wait that was asked for.
        delay_s = max(delays_s, default=None)
        at = next_attempt(settings, lease.attempts + 1, now, lease.expires_at, chance, delay_s)
        retry_at = dict.fromkeys(waiting, at)
    go_on = trouble is None and more
    return Outcome(
        verdicts=verdicts,
        retry_at=retry_at,
        go_on=go_on,
        # Many transactions of one message are one attempt: the last of them counts.
        counted=bool(waiting) or not (go_on or trouble),
        trouble=trouble,
    )


def _heard(judgements: Iterable[Judgement]) -> bool:
    """Whether the server said something of those who were named, and not of the message alone."""
    named = [j.verdict.phase for j in judgements if j.action is not Action.ITS_TURN]
    return any([phase not in BEFORE_MAIL and phase is not Phase.MAIL for phase in named])


def _settled(judgement: Judgement, *, taken: bool, heard: bool) -> Judgement:
    """What is left of an action that was tried already, or that would go round for ever."""
    action = judgement.action
    if action is Action.NEXT_TRANSACTION and not taken:
        # "Too many" although the server took nobody: the next transaction would fare the same.
        return judgement._replace(action=Action.BACK_OFF)
    if action is Action.ITS_TURN and not heard:
        return judgement._replace(action=Action.BACK_OFF)
    if action is not Action.RECONNECT:
        return judgement
    # This was the new connection.  Before any recipient was named it is the server's trouble;
    # later the message may be why, and one message must not hold up its account.
    phase = judgement.verdict.phase
    if phase in BEFORE_MAIL or phase is Phase.MAIL:
        return judgement._replace(scope=Scope.ACCOUNT, action=Action.HOLD_ACCOUNT)
    return judgement._replace(scope=Scope.MESSAGE, action=Action.BACK_OFF)


def cut_off(tried: Sequence[int], why: str, *, dot_marked: bool) -> dict[int, Verdict]:
    """Verdicts on an attempt that ended without an answer: none, or in doubt after the dot."""
    if not dot_marked:
        return {}
    verdict = Verdict(RecipientStatus.IN_DOUBT, phase=Phase.DOT, text=why, hint=DOUBT_HINT)
    return dict.fromkeys(tried, verdict)


def gave_up(last: Verdict | None, account: AccountState | None) -> Verdict:
    """The verdict on a recipient whose time is over: the last word of the server, if it had one.

    last is None where nothing is known of earlier attempts; account tells why none was made.
    """
    if last is not None and last.status is RecipientStatus.DEFERRED:
        return replace(last, status=RecipientStatus.EXPIRED)
    if account is not None and account.state != "ok":
        text = f"not sent before its time was over; its account waits: {account.reason}"
        return Verdict(RecipientStatus.EXPIRED, text=text, hint=account.hint)
    return Verdict(RecipientStatus.EXPIRED, text="not sent before its time was over")


def summary(verdicts: Collection[Verdict]) -> dict[str, object]:
    """What a log line says of an attempt: how many of what, and the first reply that matters."""
    if not verdicts:
        return {"status": "nothing tried"}
    statuses = [str(verdict.status) for verdict in verdicts]
    counted = [f"{status}={statuses.count(status)}" for status in sorted(set(statuses))]
    worst = min(verdicts, key=lambda v: v.status is RecipientStatus.ACCEPTED)
    told = {
        "status": " ".join(counted),
        "code": worst.code,
        "enhanced": worst.enhanced,
        "phase": worst.phase and str(worst.phase),
        "kind": worst.kind and str(worst.kind),
    }
    return {key: value for key, value in told.items() if value is not None}
