"""What a PostgreSQL store does over its connections, call by call: the transactions."""

from collections.abc import Collection, Sequence
from functools import partial

from asyncnet.mail.letter import Content, Octets
from asyncnet.mailqueue import postgres_steps as steps
from asyncnet.mailqueue import postgres_words
from asyncnet.mailqueue.postgres_access import Access, Connection, Damaged, Unsound
from asyncnet.mailqueue.postgres_content import ContentReader, write_parts
from asyncnet.mailqueue.postgres_link import QUERIES, Link, OutcomeUnknown
from asyncnet.mailqueue.postgres_pulse import Pulse, beat_within
from asyncnet.mailqueue.postgres_reader import migrate
from asyncnet.mailqueue.postgres_steps import Arrival, Ending, Settled
from asyncnet.mailqueue.rows import Row
from asyncnet.mailqueue.store import (
    INLINE_OCTETS,
    Acceptance,
    Instructed,
    Lease,
    StoreError,
    Word,
)
from asyncnet.mailqueue.turns import Turns
from asyncnet.threads import UnwaitedThreads

PURGE_ROWS = 500  # a step: no lock lasts long

# Values that the database, or its driver, cannot take: the fault of one call of a batch.
UNSOUND = (Unsound, ValueError, TypeError, OverflowError)


class _Dead(Exception):
    """The others took our leases away: enter anew, and do it again."""


class Work:
    """The connections, one for each kind of work, so that none waits for another kind."""

    def __init__(self, access: Access, pulse: Pulse, owner: str, window_s: float) -> None:
        self.owner = owner
        self.asking = Link(access)
        self.contents = ContentReader(access)
        self._access = access
        self._pulse = pulse
        self._window_s = window_s
        self._turns = Turns()
        self._taking = Link(access)
        self._streaming = Link(access)  # from memory
        # From files, which may lie on a disk that hangs: whatever waits for one has a connection
        # and a thread apart, so that it keeps only its like waiting.
        self._reading = Link(access)
        self._reading_thread = UnwaitedThreads(1, "mailqueue-unread")
        self._leasing = Link(access)
        self._marking = Link(access)
        self._settling = Link(access)
        # Steps whose COMMIT was not answered, by their transaction.
        self._unanswered: dict[tuple[str, int], tuple[str, Settled | StoreError]] = {}
        self._orphans: list[tuple[str | None, list[Lease], float]] = []

    async def migrate(self) -> None:
        """Raises StoreError."""
        await self.asking.transact(partial(migrate, access=self._access))

    async def close(self) -> None:
        await self.contents.close()
        for link in (self._taking, self._streaming, self._reading, self._leasing, self._marking):
            await link.close()
        await self._settling.close()
        await self.asking.close()

    async def accept(self, arrivals: Sequence[Arrival]) -> list[Acceptance]:
        return await self._taking.transact(partial(self._accept, arrivals=arrivals))

    async def accept_streamed(self, arrival: Arrival, content: Content) -> Acceptance:
        """Raises ContentError or LocalFault."""
        queue_id = arrival.message.claim.queue_id
        if await self._taking.ask("known", [queue_id]):
            return Acceptance.KNOWN  # before anything is streamed
        link = self._streaming if isinstance(content, Octets) else self._reading
        return await link.transact(partial(self._accept_streamed, arrival=arrival, content=content))

    async def refuse(self, refusals: Sequence[Row]) -> list[None]:
        values = [(*row, self.owner) for row in refusals]
        await self._taking.repeat(
            lambda connection: steps.many(connection, "insert_refusal", values)
        )
        return [None] * len(refusals)

    async def lease(self, now: float, limit: int, passing_over: Collection[str]) -> list[Lease]:
        inline_octets = INLINE_OCTETS
        while True:
            holder = self._pulse.holder
            step = partial(
                self._lease,
                holder=holder,
                now=now,
                limit=limit,
                passing_over=passing_over,
                inline_octets=inline_octets,
            )
            try:
                return await self._leasing.transact(step)
            except _Dead:
                await self._pulse.enter_after(holder)
            except Damaged:
                # A content, perhaps: without any along, each is read for itself and fails alone.
                if inline_octets < 0:
                    raise
                inline_octets = -1
            except OutcomeUnknown as unknown:
                # They may be ours, and nobody will ever settle them.
                leases: list[Lease] = unknown.result  # type: ignore[assignment]
                self._orphans.append((unknown.transaction, leases, now))
                raise

    async def unlease(self, leases: Sequence[Lease], now: float) -> None:
        await self._leasing.transact(partial(self._unlease, leases=leases, now=now))

    def orphan(self, leases: list[Lease], now: float) -> None:
        """Leases to give back as soon as that can be done."""
        self._orphans.append((None, leases, now))

    async def unlease_orphans(self) -> bool:
        """Give back leases that nobody received; whether there were any.  Raises StoreError."""
        found = False
        while self._orphans:
            transaction, leases, now = self._orphans[0]
            if transaction is None or await self._leasing.outcome(transaction):
                await self.unlease(leases, now)
                found = True
            del self._orphans[0]
        return found

    async def mark_dots(self, leases: Sequence[tuple[str, int]]) -> list[StoreError | None]:
        step = partial(
            steps.mark_dots, leases=leases, holder=self._pulse.holder, term_s=self._pulse.term_s
        )
        return await self._marking.repeat(step)

    async def settle(self, endings: Sequence[Ending]) -> list[Settled | StoreError]:
        done = {}
        for it in endings:
            if (earlier := self._unanswered.get(it.lease)) is not None:
                if await self._settling.outcome(earlier[0]):
                    done[it.lease] = earlier[1]
                del self._unanswered[it.lease]
        left = [it for it in endings if it.lease not in done]
        try:
            answers = await self._settling.transact(partial(self._settle, endings=left))
        except OutcomeUnknown as unknown:
            found: list[Settled | StoreError] = unknown.result  # type: ignore[assignment]
            for it, answer in zip(left, found, strict=True):
                self._unanswered[it.lease] = (unknown.transaction, answer)
            raise
        following = iter(answers)
        return [done[it.lease] if it.lease in done else next(following) for it in endings]

    async def instruct(
        self, word: Word, queue_ids: Collection[str], reason: str, now: float
    ) -> list[Instructed]:
        async def step(connection: Connection) -> list[Instructed]:
            told, owners = await postgres_words.instruct(connection, word, queue_ids, reason, now)
            await self._ring(connection, ready=True, owners=owners)
            return told

        return await self._settling.transact(step)

    async def mark_reported(self, queue_ids: Collection[str]) -> None:
        async def step(connection: Connection) -> None:
            jobs = await steps.rows(connection, "mark_reported", queue_ids)
            await connection.fetch(QUERIES["drop_content"], [job for (job,) in jobs])

        await self.asking.transact(step)

    async def set_account_state(self, row: Row) -> None:
        async def step(connection: Connection) -> None:
            await connection.fetch(QUERIES["set_account_state"], *row)
            await self._ring(connection, ready=True)

        await self.asking.transact(step)

    async def purge(self, before: float) -> int:
        """Forget up to PURGE_ROWS jobs; how many."""
        return len(await self.asking.ask("purge", before, PURGE_ROWS))

    # Inside of the transactions.

    async def _accept(
        self, connection: Connection, arrivals: Sequence[Arrival]
    ) -> list[Acceptance]:
        outcomes = await steps.accept(connection, arrivals, self.owner, self._window_s, self._turns)
        await self._ring(connection, ready=Acceptance.QUEUED in outcomes)
        return outcomes

    async def _accept_streamed(
        self, connection: Connection, arrival: Arrival, content: Content
    ) -> Acceptance:
        ((job,),) = await steps.rows(connection, "reserve_id")
        await write_parts(connection, job, content, self._reading_thread)
        streamed = Arrival(arrival.message, arrival.size_octets, arrival.now, job=job)
        (outcome,) = await self._accept(connection, [streamed])
        if outcome is not Acceptance.QUEUED:
            await connection.fetch(QUERIES["drop_content"], [job])
        return outcome

    async def _lease(
        self,
        connection: Connection,
        holder: int,
        now: float,
        limit: int,
        passing_over: Collection[str],
        inline_octets: int,
    ) -> list[Lease]:
        if not await beat_within(connection, holder, self._pulse.term_s):
            raise _Dead
        leases, owners = await steps.lease(
            connection, holder, now, limit, passing_over, inline_octets
        )
        if self.owner in owners:
            self._pulse.on_finished()
        await self._ring(connection, ready=False, owners=owners)
        return leases

    async def _unlease(self, connection: Connection, leases: Sequence[Lease], now: float) -> None:
        await steps.unlease(connection, leases, now)
        await self._ring(connection, ready=True)

    async def _settle(
        self, connection: Connection, endings: Sequence[Ending]
    ) -> list[Settled | StoreError]:
        answers = await steps.settle(connection, endings)
        settled = [it for it in answers if isinstance(it, Settled)]
        owners = [it.owner for it in settled if it.owner is not None]
        await self._ring(connection, ready=len(owners) < len(settled), owners=owners)
        return answers

    async def _ring(
        self, connection: Connection, *, ready: bool, owners: Collection[str] = ()
    ) -> None:
        others = {owner for owner in owners if owner != self.owner}
        await steps.ring(connection, str(self._pulse.holder) if ready else None, others)
