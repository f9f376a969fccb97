"""Message content in rows: streamed in and out, a few blocks of it in memory at a time.

The reading has a thread and a connection of its own, since content is read where no coroutine can
be awaited, and perhaps on the daemon's loop: its next blocks are fetched meanwhile.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from asyncnet.mail.letter import Content, ContentError
from asyncnet.mailqueue.postgres_access import Access, Connection
from asyncnet.mailqueue.postgres_link import Link
from asyncnet.mailqueue.store import StoreError

PARTS_AT_ONCE = 8  # about half a mebibyte for a round trip
ANSWER_S = 40.0  # the link gives up before
COPY_S = 600.0  # 200 MB over a slow line

_COPY_COLUMNS = ("job", "part", "octets")


class LocalFault(Exception):
    """A fault of this machine while the content was read, which is no fault of the database's."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


async def write_parts(connection: Connection, job: int, content: Content) -> None:
    """Copy the content into rows of the job.

    Raises ContentError or LocalFault; the transaction is to be undone then.
    """
    await connection.copy_records_to_table(
        "content", records=_parts(job, content), columns=_COPY_COLUMNS, timeout=COPY_S
    )


async def _parts(job: int, content: Content) -> AsyncIterator[tuple[int, int, bytes]]:
    blocks = content.blocks()
    written = part = 0
    # Files may lie on a slow disk: the loop does not wait for them.
    while (block := await asyncio.to_thread(_next, blocks)) is not None:
        written += len(block)
        if written > content.octets:
            break
        yield job, part, block
        part += 1
    if written != content.octets:
        raise ContentError(f"the content is not {content.octets} octets long")


def _next(blocks: Iterator[bytes]) -> bytes | None:
    try:
        return next(blocks, None)
    except OSError as error:
        raise LocalFault(error) from error


@dataclass(frozen=True, slots=True)
class RowContent:
    """Content that lies in rows; they are fetched when its blocks are asked for."""

    queue_id: str
    octets: int
    reader: "ContentReader" = field(repr=False, compare=False)

    def blocks(self) -> Iterator[bytes]:
        """Raises StoreError while the database is away."""
        left, first = self.octets, 0
        coming = self.reader.fetch(self.queue_id, first)
        while left > 0:
            parts = coming.result(ANSWER_S)
            first += PARTS_AT_ONCE
            left -= sum(map(len, parts))
            if not parts or left < 0:
                raise ContentError(f"the content of {self.queue_id} is not {self.octets} octets")
            if left:
                coming = self.reader.fetch(self.queue_id, first)
            yield from parts


class ContentReader:
    """The thread that fetches content.  It starts with the first call."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._link = Link(access)
        self._closed = False

    def content(self, queue_id: str, octets: int) -> RowContent:
        return RowContent(queue_id, octets, self)

    def fetch(self, queue_id: str, first: int) -> "Future[list[bytes]]":
        """The parts from first on, PARTS_AT_ONCE of them or what there is.  From any thread."""
        if self._closed:
            raise StoreError(f"{self._access.place} is closed")
        if self._loop is None:
            self._start()
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(self._fetch(queue_id, first), self._loop)

    async def close(self) -> None:
        """Close the connection and end the thread.  May be called twice."""
        self._closed = True
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._link.close(), loop))
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(self._thread.join)

    def _start(self) -> None:
        loop = self._loop = asyncio.new_event_loop()

        def run() -> None:
            loop.run_forever()
            loop.close()

        # A daemon thread: a process that ends without close() is a crash like any other.
        self._thread = threading.Thread(target=run, name="mailqueue-content", daemon=True)
        self._thread.start()

    async def _fetch(self, queue_id: str, first: int) -> list[bytes]:
        found = await self._link.ask("content_parts", queue_id, first, first + PARTS_AT_ONCE)
        return [row[0] for row in found]
