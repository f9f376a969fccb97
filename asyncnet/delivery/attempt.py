"""One attempt at one message: a talk from the pool, a transaction, a judgement per recipient.

What an end at any moment leaves behind: before the dot was marked nothing was sent, and the
lease is good; after it, without a reply, the message is in doubt (RFC 1047).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from asyncnet.delivery.accounts import AccountError
from asyncnet.delivery.exchange import ExchangeFailed
from asyncnet.delivery.judgement import Action, Judgement, judge, judge_failure
from asyncnet.delivery.lane import Lane
from asyncnet.delivery.pool import Pool, Talk
from asyncnet.delivery.standing import UNUSABLE_HINT
from asyncnet.delivery.turns import map_in_turns
from asyncnet.mail.letter import ContentError
from asyncnet.mail.verdict import Kind, Phase, RecipientStatus, Scope, Verdict
from asyncnet.mailqueue.store import Lease, Store
from asyncnet.smtp.errors import UnsafeArgument
from asyncnet.smtp.transaction import RecipientReply

# Settings and secrets are read anew each time, which costs nobody a login.
UNUSABLE_DELAY_S = 60.0
UNUSABLE_DELAY_MAX_S = 900.0


class Attempt:
    """Carries the recipients at some places of a lease (those of one transaction).

    server and tls are None until a server was reached.
    """

    def __init__(
        self,
        store: Store,
        pool: Pool,
        lane: Lane,
        lease: Lease,
        places: Sequence[int],
        clock: Callable[[], float],
    ) -> None:
        self.server: str | None = None
        self.tls: Mapping[str, Any] | None = None
        self.positions = lease.positions
        self._talk: Talk | None = None  # the last one
        self._marks: list[asyncio.Future[None]] = []
        self._store = store
        self._pool = pool
        self._lane = lane
        self._lease = lease
        self._clock = clock
        self._envelope = lease.envelope
        if len(places) < len(lease.positions):
            self.positions = tuple([lease.positions[place] for place in places])
            recipients = tuple([lease.envelope.recipients[place] for place in places])
            self._envelope = replace(lease.envelope, recipients=recipients)

    @property
    def dot_marked(self) -> bool:
        """Whether the end of the content may have left."""
        return any([_succeeded(mark) for mark in self._marks])

    async def run(self) -> dict[int, Judgement]:
        """Judgements by position.

        A talk that breaks before the dot is replaced once, at once, by a new one: the server
        may only have left an idle connection.  Raises LeaseLost, StoreError, and whatever is
        a bug; dot_marked then tells what is known.
        """
        judgements = await self._once()
        if _nobody_was_answered(judgements.values()):
            if _cancelled():
                return judgements  # known although we were stopped, see map_in_turns()
            if self._lane.blocked(self._clock()):
                # Others of the account broke, too, and were not let in again: no login for this.
                return {position: _waits(it) for position, it in judgements.items()}
            judgements = await self._once(after=self._talk)
        return judgements

    async def _once(self, *, after: Talk | None = None) -> dict[int, Judgement]:
        account = self._lane.account
        try:
            talk = self._talk = await self._pool.take(self._lane.key, account, after=after)
        except ExchangeFailed as failed:
            if failed.reply is not None:
                self.server = f"{account.host}:{account.port}"
            return dict.fromkeys(self.positions, judge_failure(failed, account.book))
        except AccountError as error:
            return dict.fromkeys(self.positions, _unusable(error))
        reusable = False
        try:
            judgements = await self._transact(talk)
            reusable = _reusable(talk, judgements)
        except (ContentError, UnsafeArgument) as error:
            return dict.fromkeys(self.positions, _unsendable(error))
        except OSError as error:
            return dict.fromkeys(self.positions, _unreadable(error))
        finally:
            if reusable:
                self._pool.give(talk, account)
            else:
                self._pool.discard(talk)
        return judgements

    async def _transact(self, talk: Talk) -> dict[int, Judgement]:
        exchange = talk.exchange
        self.server, self.tls = exchange.server, exchange.tls
        content = self._store.content(self._lease)
        answers = await exchange.transact(
            self._envelope, content, self._mark_dot, alone=self._lease.attempts > 0
        )
        if len(answers) == 1:
            return {self.positions[0]: self._judge(answers[0])}
        judgements = await map_in_turns(self._judge, answers)
        return dict(zip(self.positions, judgements, strict=True))

    def _judge(self, answer: RecipientReply) -> Judgement:
        judgement = judge(answer, self._lane.account.book, self._lease.attempts)
        if judgement.kind is Kind.AUTH and self._lease.route.server is not None:
            # A job's own server is never logged in to: waiting cannot help.
            verdict = replace(
                judgement.verdict,
                status=RecipientStatus.REJECTED,
                hint="this server wants a login: send through an account of the settings",
            )
            return Judgement(verdict, Scope.MESSAGE, Action.DONE)
        return judgement

    def _mark_dot(self) -> asyncio.Future[None]:
        mark = asyncio.ensure_future(self._store.mark_dot(self._lease))
        self._marks.append(mark)
        return mark


def _succeeded(mark: asyncio.Future[None]) -> bool:
    return mark.done() and not mark.cancelled() and mark.exception() is None


def _nobody_was_answered(judgements: Iterable[Judgement]) -> bool:
    """Whether all who were named want a new connection."""
    actions = {judgement.action for judgement in judgements} - {Action.ITS_TURN}
    return actions == {Action.RECONNECT}


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _reusable(talk: Talk, judgements: Mapping[int, Judgement]) -> bool:
    """Whether the next message may go by this talk."""
    if not talk.exchange.usable:
        return False
    actions = [judgement.action for judgement in judgements.values()]
    return Action.RECONNECT not in actions and Action.FEWER_CONNECTIONS not in actions


def _waits(judgement: Judgement) -> Judgement:
    return judgement._replace(scope=Scope.ACCOUNT, action=Action.HOLD_ACCOUNT)


def _unusable(error: AccountError) -> Judgement:
    verdict = Verdict(
        RecipientStatus.DEFERRED,
        phase=Phase.AUTH,
        kind=Kind.AUTH,
        text=str(error),
        hint=UNUSABLE_HINT,
    )
    return Judgement(
        verdict, Scope.ACCOUNT, Action.HOLD_ACCOUNT, UNUSABLE_DELAY_S, UNUSABLE_DELAY_MAX_S
    )


def _unsendable(error: ContentError | UnsafeArgument) -> Judgement:
    if isinstance(error, ContentError):
        text, hint = f"the stored message is damaged: {error}", "drop the job again"
    else:
        text, hint = f"the envelope cannot be sent: {error}", None
    verdict = Verdict(RecipientStatus.REJECTED, kind=Kind.CONTENT, text=text, hint=hint)
    return Judgement(verdict, Scope.MESSAGE, Action.DONE)


def _unreadable(error: OSError) -> Judgement:
    """The disk fails at the content: another time it may not, and other messages go on."""
    text = f"the stored message cannot be read: {error.strerror}"
    hint = "look at the disk and the rights of the spool's queue/; the mail goes on by itself"
    verdict = Verdict(RecipientStatus.DEFERRED, kind=Kind.TRANSIENT, text=text, hint=hint)
    return Judgement(verdict, Scope.MESSAGE, Action.BACK_OFF)
