"""Reading the queue: for the store itself, and for a process beside a running daemon."""

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isinf
from pathlib import Path
from types import TracebackType

import apsw

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.census import census_from, ended_from
from asyncnet.mailqueue.connection import QUERIES, open_reader, refusal
from asyncnet.mailqueue.mending import (
    UNREADABLE,
    check_file_names,
    mended_job,
    mended_recipient,
)
from asyncnet.mailqueue.rows import (
    Row,
    account_states_from,
    backlogs_from,
    json_list,
    kept,
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

Value = int | str | bytes | None
Values = tuple[Value, ...]

MAX_FOUND = 1_000  # one name may have been dropped any number of times


class SqliteReader:
    """Every question of the store's contract, asked on a connection that cannot write.

    Its methods block, raise StoreError, and see what was committed when they were called.
    They are not for two threads at once.
    """

    def __init__(self, path: Path) -> None:
        """Raises StoreError: no queue there, not readable, damaged, of another version."""
        self._path = path
        self._connection = open_reader(path)

    def __enter__(self) -> "SqliteReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file.  May be called twice."""
        self._connection.close()

    def known(self, queue_ids: Iterable[str]) -> frozenset[str]:
        """Those of queue_ids that have a row."""
        return frozenset(row[0] for row in self._rows("known", json_list(queue_ids)))

    def under_way(self, queue_ids: Iterable[str]) -> frozenset[str]:
        """Those of queue_ids that are leased."""
        return frozenset(row[0] for row in self._rows("under_way", json_list(queue_ids)))

    def next_due(self, passing_over: Collection[str] = ()) -> float | None:
        """When lease() may next have something; None: nothing that time alone will bring."""
        ((at,),) = self._rows("next_due", json_list(passing_over))
        return None if at is None or isinf(at) else at

    def unreported(self, limit: int) -> list[Record]:
        """Finished jobs whose results are not written yet, oldest first.

        Raises ValueError or TypeError where one is damaged: it is to be mended first, or its
        report could not be noted.
        """
        records = self._whole(self._rows("unreported", limit))
        for record in records:
            check_file_names(record)
        return records

    def records(self, *, states: Iterable[JobStatus] = (), limit: int = 1000) -> list[Record]:
        """Jobs, newest first; states empty means those not finished."""
        wanted = set(states) or {state for state in JobStatus if not state.final}
        found = self._records([("records_by_status", (state, limit)) for state in wanted])
        return [record for _, record in sorted(found, key=_newest_first)][:limit]

    def select(self, selection: Selection, after: str, limit: int) -> Page:
        """A page of what is meant.  Raises ValueError where after is none of ours."""
        first = int(after or "0")
        unfinished = frozenset(state for state in JobStatus if not state.final)
        wanted = sorted((selection.states or unfinished) & unfinished)
        account = kept(selection.account)
        if selection.key is None:
            rows = [
                row
                for state in wanted
                for row in self._rows("select_by_status", state, first, account, limit + 1)
            ]
        else:
            states, key = json_list(wanted), kept(selection.key)
            rows = self._rows("select_by_key", key, states, first, account, limit + 1)
        rows = sorted(rows)[: limit + 1]
        taken = rows[:limit]
        following = str(taken[-1][0]) if len(rows) > limit else None
        return Page(tuple(queue_id for _, queue_id in taken), following)

    def find(self, key: str) -> list[Record]:
        """Jobs whose queue id, job id or name is key, newest first, at most MAX_FOUND."""
        return [record for _, record in self._records([("find", (kept(key), MAX_FOUND))])]

    def counts(self) -> Mapping[JobStatus, int]:
        """How many jobs stand at each status (those still kept)."""
        known = json_list(JobStatus)
        return {JobStatus(status): number for status, number in self._rows("counts", known)}

    def backlogs(self) -> Mapping[str, Backlog]:
        """What waits, by Route.key; one that is missing has nothing."""
        return backlogs_from(self._rows("backlogs"))

    def census(self) -> Census:
        """What is not finished, counted."""
        ((oldest_at,),) = self._rows("oldest")
        return census_from(self._rows("depths"), oldest_at)

    def latest(self, limit: int) -> list[Ended]:
        """The jobs that finished last, the last one first."""
        return ended_from(self._rows("latest", limit))

    def account_states(self) -> Mapping[str, AccountState]:
        """States by Route.key; one that is missing is ok."""
        return account_states_from(self._rows("account_states"))

    def _records(self, queries: Sequence[tuple[str, Values]]) -> list[tuple[int, Record]]:
        """What the queries find, with the row ids; damaged rows are shown as if mended."""
        try:
            rows = [row for query, values in queries for row in self._rows(query, *values)]
            return [(row[0], it) for row, it in zip(rows, self._whole(rows), strict=True)]
        except UNREADABLE:
            ids = [
                job
                for query, values in queries
                for (job,) in self._fetch(f"SELECT id FROM ({QUERIES[query]})", values)
            ]
            return [(job, self._one(job)) for job in ids]

    def _whole(self, rows: list[Row]) -> list[Record]:
        recipients: dict[int, list[RecipientRecord]] = {row[0]: [] for row in rows}
        for row in self._rows("recipients", json_list(recipients)):
            job, recipient = recipient_from(row)
            recipients[job].append(recipient)
        return [record_from(row, recipients[row[0]]) for row in rows]

    def _one(self, job: int) -> Record:
        with contextlib.suppress(*UNREADABLE):
            return self._whole(self._rows("record", job))[0]
        (row,) = self._rows("raw_job", job)
        found = (mended_recipient(it)[1:] for it in self._rows("raw_recipients", job))
        recipients = [recipient_from((job, *it))[1] for it in found]
        return record_from(mended_job(row, 0.0), recipients)

    def _rows(self, query: str, *parameters: Value) -> list[Row]:
        return self._fetch(QUERIES[query], parameters)

    def _fetch(self, statement: str, parameters: Values) -> list[Row]:
        try:
            return self._connection.execute(statement, parameters).fetchall()
        except apsw.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: apsw.Error) -> StoreError:
        return refusal(self._path, error)


def _newest_first(found: tuple[int, Record]) -> int:
    return -found[0]
