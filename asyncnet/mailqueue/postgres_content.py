"""Message content in rows: streamed in and out, a few blocks of it in memory at a time.

The reading has a connection of its own, and a thread, since content may also be read where no
coroutine can be awaited.  The next blocks are fetched while those before are on their way.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from itertools import islice

from asyncnet.mail.letter import Content, ContentError, DistantContent, Octets
from asyncnet.mailqueue.postgres_access import Access, Connection, Damaged
from asyncnet.mailqueue.postgres_link import QUERIES, Link
from asyncnet.mailqueue.store import StoreError

PARTS_AT_ONCE = 8  # about half a mebibyte for a round trip
ANSWER_S = 40.0  # the link gives up before


class LocalFault(Exception):
    """A fault of this machine while the content was read, which is no fault of the database's."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


async def write_parts(
    connection: Connection, job: int, content: Content, threads: Executor
) -> None:
    """Put the content into rows of the job.  What does not lie in memory is read in threads.

    Raises ContentError or LocalFault; the transaction is to be undone then.
    """
    # Not by COPY: where the line is lost in the middle of one, the driver fails at its own end.
    blocks = content.blocks()
    written = first = 0
    while parts := await _next(content, blocks, threads):
        written += sum(map(len, parts))
        if written > content.octets:
            break
        await connection.execute(QUERIES["insert_parts"], job, first, parts)
        first += len(parts)
    if written != content.octets:
        raise ContentError(f"the content is not {content.octets} octets long")


async def _next(content: Content, blocks: Iterator[bytes], threads: Executor) -> list[bytes]:
    if isinstance(content, Octets):
        return _read(blocks)
    # Files may lie on a slow disk, or on one that hangs: the loop does not wait for them, nor does
    # any of the threads that it has for others.
    return await asyncio.get_running_loop().run_in_executor(threads, _read, blocks)


def _read(blocks: Iterator[bytes]) -> list[bytes]:
    try:
        return list(islice(blocks, PARTS_AT_ONCE))
    except OSError as error:
        raise LocalFault(error) from error


@dataclass(frozen=True, slots=True)
class RowContent(DistantContent):
    """Content that lies in rows; they are fetched when its blocks are asked for.

    Reading it raises StoreError while the database is away.
    """

    queue_id: str
    octets: int
    reader: "ContentReader" = field(repr=False, compare=False)

    def blocks(self) -> Iterator[bytes]:
        parting = _Parting(self)
        while parting.left:
            yield from parting.checked(parting.coming.result(ANSWER_S))

    async def arriving(self) -> AsyncIterator[bytes]:
        parting = _Parting(self)
        while parting.left:
            for part in parting.checked(await asyncio.wrap_future(parting.coming)):
                yield part


class _Parting:
    """How far a content was read; coming is what is fetched meanwhile."""

    def __init__(self, content: RowContent) -> None:
        self.left = content.octets
        self.coming = content.reader.fetch(content.queue_id, 0)
        self._content = content
        self._first = 0

    def checked(self, parts: list[bytes]) -> list[bytes]:
        """The parts that came, the next ones being sent for.  Raises ContentError."""
        self._first += PARTS_AT_ONCE
        self.left -= sum(map(len, parts))
        if not parts or self.left < 0:
            octets, queue_id = self._content.octets, self._content.queue_id
            raise ContentError(f"the content of {queue_id} is not {octets} octets")
        if self.left:
            self.coming = self._content.reader.fetch(self._content.queue_id, self._first)
        return parts


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
        try:
            found = await self._link.ask("content_parts", queue_id, first, first + PARTS_AT_ONCE)
        except Damaged as error:
            raise ContentError(f"the content of {queue_id} is lost ({error})") from error
        return [row[0] for row in found]
