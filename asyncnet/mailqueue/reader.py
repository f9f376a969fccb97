"""Reading the queue: for the store itself, and for a process beside a running daemon."""

from collections.abc import Collection, Iterable, Mapping
from math import isinf
from pathlib import Path
from types import TracebackType

import apsw

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.connection import QUERIES, open_reader, refusal
from asyncnet.mailqueue.rows import (
    Row,
    account_states_from,
    backlogs_from,
    json_list,
    kept,
    recipient_from,
    record_from,
)
from asyncnet.mailqueue.store import AccountState, Backlog, RecipientRecord, Record, StoreError

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

    def next_due(self, passing_over: Collection[str] = ()) -> float | None:
        """When lease() may next have something; None: nothing that time alone will bring."""
        ((at,),) = self._rows("next_due", json_list(passing_over))
        return None if at is None or isinf(at) else at

    def unreported(self, limit: int) -> list[Record]:
        """Finished jobs whose results are not written yet, oldest first."""
        return self._records(self._rows("unreported", limit))

    def records(self, *, states: Iterable[JobStatus] = (), limit: int = 1000) -> list[Record]:
        """Jobs, newest first; states empty means those not finished."""
        wanted = set(states) or {state for state in JobStatus if not state.final}
        rows = [row for state in wanted for row in self._rows("records_by_status", state, limit)]
        rows.sort(key=lambda row: row[0], reverse=True)
        return self._records(rows[:limit])

    def find(self, key: str) -> list[Record]:
        """Jobs whose queue id, job id or name is key, newest first, at most MAX_FOUND."""
        return self._records(self._rows("find", kept(key), MAX_FOUND))

    def counts(self) -> Mapping[JobStatus, int]:
        """How many jobs stand at each status (those still kept)."""
        return {JobStatus(status): number for status, number in self._rows("counts")}

    def backlogs(self) -> Mapping[str, Backlog]:
        """What waits, by Route.key; one that is missing has nothing."""
        return backlogs_from(self._rows("backlogs"))

    def account_states(self) -> Mapping[str, AccountState]:
        """States by Route.key; one that is missing is ok."""
        return account_states_from(self._rows("account_states"))

    def _records(self, rows: list[Row]) -> list[Record]:
        recipients: dict[int, list[RecipientRecord]] = {row[0]: [] for row in rows}
        for row in self._rows("recipients", json_list(recipients)):
            job, recipient = recipient_from(row)
            recipients[job].append(recipient)
        return [record_from(row, recipients[row[0]]) for row in rows]

    def _rows(self, query: str, *parameters: int | str | bytes | None) -> list[Row]:
        try:
            return self._connection.execute(QUERIES[query], parameters).fetchall()
        except apsw.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: apsw.Error) -> StoreError:
        return refusal(self._path, error)
