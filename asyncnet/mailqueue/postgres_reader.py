"""The store's questions on PostgreSQL: for the store, and for a command beside it."""

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Mapping
from math import isinf
from types import TracebackType
from typing import Any, TypeVar

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.census import census_from, ended_from
from asyncnet.mailqueue.mending import UNREADABLE, check_file_names, mended_job, mended_recipient
from asyncnet.mailqueue.postgres_access import Access, Connection
from asyncnet.mailqueue.postgres_link import SCHEMA, Link
from asyncnet.mailqueue.rows import (
    Row,
    account_states_from,
    backlogs_from,
    octets,
    recipient_from,
    record_from,
)
from asyncnet.mailqueue.store import (
    AccountState,
    Backlog,
    Census,
    Ended,
    Page,
    RecipientRecord,
    Record,
    Selection,
    StoreError,
)

T = TypeVar("T")

MAX_FOUND = 1_000  # one name may have been dropped any number of times
MIGRATIONS = ("schema_1", "schema_2")  # one transaction each; never change one that is out
_UNFINISHED = frozenset(state for state in JobStatus if not state.final)


class Questions:
    """Every question, asked over one link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def known(self, queue_ids: Iterable[str]) -> frozenset[str]:
        ids = [it for it in queue_ids if it.isascii() and "\0" not in it]
        return frozenset(row[0] for row in await self._link.ask("known", ids))

    async def under_way(self, queue_ids: Iterable[str]) -> frozenset[str]:
        ids = [it for it in queue_ids if it.isascii() and "\0" not in it]
        return frozenset(row[0] for row in await self._link.ask("under_way", ids))

    async def next_due(self, passing_over: Collection[str]) -> float | None:
        lanes = [octets(key) for key in passing_over]
        ((at,),) = await self._link.ask("next_due", lanes)
        return None if at is None or isinf(at) else float(at)

    async def unreported(self, owner: str, limit: int) -> list[Record]:
        found = await self._link.ask("unreported", owner, limit)
        records = [
            _with_file_names(row, record)
            for row, record in zip(found, await self._records(found), strict=True)
        ]
        for row, record in zip(found, records, strict=True):
            if record.claim.queue_id != row[1]:
                # By the mended one it is marked as reported.
                await self._link.ask("mend_queue_id", row[0], record.claim.queue_id)
        return records

    async def records(self, states: Iterable[JobStatus], limit: int) -> list[Record]:
        wanted = sorted(set(states) or _UNFINISHED)
        return await self._records(await self._link.ask("records", wanted, limit))

    async def find(self, key: str) -> list[Record]:
        id_key = key if key.isascii() and "\0" not in key else None
        return await self._records(await self._link.ask("find", id_key, octets(key), MAX_FOUND))

    async def select(self, selection: Selection, after: str, limit: int) -> Page:
        """Raises ValueError where after is none of ours."""
        key = selection.key
        id_key = key if key is not None and key.isascii() and "\0" not in key else None
        found = await self._link.ask(
            "select",
            sorted((selection.states or _UNFINISHED) & _UNFINISHED),
            int(after or "0"),
            octets(selection.account),
            octets(key),
            id_key,
            limit + 1,
        )
        taken = found[:limit]
        following = str(taken[-1][0]) if len(found) > limit else None
        return Page(tuple(queue_id for _, queue_id in taken), following)

    async def counts(self) -> Mapping[JobStatus, int]:
        return {JobStatus(status): number for status, number in await self._link.ask("counts")}

    async def backlogs(self) -> Mapping[str, Backlog]:
        return backlogs_from(await self._link.ask("backlogs"))

    async def census(self) -> Census:
        ((oldest_at,),) = await self._link.ask("oldest")
        return census_from(await self._link.ask("depths"), oldest_at)

    async def latest(self, limit: int) -> list[Ended]:
        return ended_from(await self._link.ask("latest", limit))

    async def account_states(self) -> Mapping[str, AccountState]:
        return account_states_from(await self._link.ask("account_states"))

    async def _records(self, rows: list[Row]) -> list[Record]:
        if not rows:
            return []
        recipients: dict[int, list[RecipientRecord]] = {row[0]: [] for row in rows}
        for row in await self._link.ask("recipients", list(recipients)):
            recipients[row[0]].append(_recipient(row))
        return [_record(row, recipients[row[0]]) for row in rows]


def _recipient(row: Row) -> RecipientRecord:
    """A damaged one as if it were mended."""
    try:
        return recipient_from(row)[1]
    except UNREADABLE:
        return recipient_from((row[0], *mended_recipient((0, *_raw(row[1:])))[1:]))[1]


def _record(row: Row, recipients: list[RecipientRecord]) -> Record:
    """A damaged one as if it were mended."""
    try:
        return record_from(row, recipients)
    except UNREADABLE:
        return record_from(mended_job(_raw(row), 0.0), recipients)


def _with_file_names(row: Row, record: Record) -> Record:
    """The record, mended where no result could be filed under its names."""
    try:
        check_file_names(record)
    except UNREADABLE:
        return record_from(mended_job(_raw(row), 0.0), record.recipients)
    return record


def _raw(row: Row) -> Row:
    """With texts as octets, as the mending wants them."""
    return tuple(octets(it) if isinstance(it, str) else it for it in row)


class PostgresReader:
    """The questions for a command: its methods block, and raise StoreError.

    Not for use on a running loop.
    """

    def __init__(self, url: str) -> None:
        """Raises StoreError: no queue there, not reachable, of another version."""
        self._access = Access(url)
        self._runner = asyncio.Runner()
        self._link = Link(self._access)
        self._questions = Questions(self._link)
        try:
            self._run(self._link.repeat(self._check))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "PostgresReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """May be called twice."""
        self._run(self._link.close())
        self._runner.close()

    def records(self, *, states: Iterable[JobStatus] = (), limit: int = 1000) -> list[Record]:
        return self._run(self._questions.records(states, limit))

    def find(self, key: str) -> list[Record]:
        return self._run(self._questions.find(key))

    def counts(self) -> Mapping[JobStatus, int]:
        return self._run(self._questions.counts())

    def backlogs(self) -> Mapping[str, Backlog]:
        return self._run(self._questions.backlogs())

    def account_states(self) -> Mapping[str, AccountState]:
        return self._run(self._questions.account_states())

    def select(self, selection: Selection, after: str, limit: int) -> Page:
        return self._run(self._questions.select(selection, after, limit))

    def known(self, queue_ids: Iterable[str]) -> frozenset[str]:
        return self._run(self._questions.known(queue_ids))

    def under_way(self, queue_ids: Iterable[str]) -> frozenset[str]:
        return self._run(self._questions.under_way(queue_ids))

    def _run(self, question: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(question)

    async def _check(self, connection: Connection) -> None:
        version = await version_of(connection)
        if version == 0:
            raise StoreError(f"there is no queue at {self._access.place}; start the daemon once")
        if version != len(MIGRATIONS):
            raise wrong_version(self._access, version)


async def version_of(connection: Connection) -> int:
    """How many migrations the queue has been through; 0 where there is none."""
    if await connection.fetchval("SELECT to_regclass('schema_version') IS NULL"):
        return 0
    return int(await connection.fetchval("SELECT asyncnet FROM schema_version") or 0)


def wrong_version(access: Access, version: int) -> StoreError:
    if version < len(MIGRATIONS):
        return StoreError(f"{access.place} is of an older version; start the daemon once")
    return StoreError(
        f"{access.place} was made by a newer version of asyncnet (schema {version}, this one "
        f"knows {len(MIGRATIONS)}); upgrade, or use another database"
    )


async def migrate(connection: Connection, access: Access) -> None:
    """Make or bring up to date the tables.  Raises StoreError; to be run in a transaction."""
    await connection.fetch(SCHEMA["lock"])
    version = await version_of(connection)
    if version > len(MIGRATIONS):
        raise wrong_version(access, version)
    if version == len(MIGRATIONS):
        return
    await connection.execute(SCHEMA["version"])
    for name in MIGRATIONS[version:]:
        await connection.execute(SCHEMA[name])
    await connection.execute("DELETE FROM schema_version")
    await connection.execute("INSERT INTO schema_version VALUES ($1)", len(MIGRATIONS))
