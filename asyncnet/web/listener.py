"""The HTTP service on asyncio streams: one request for each connection (RFC 9112 section 9).

The ordinary path is one read, one judgement, one write and a close with no await behind it: when
its request is there a turn of the loop after the connection, as nearly always, it takes no task.
Everything a client can do to be a burden is bounded: the head by octets and by one deadline,
the connections by number (the one that has had its answer longest makes room, else the one
longest at its head), an unread answer and an unwanted body by two seconds.  One sweeper looks
at all deadlines, since a timer for each connection would cost a tenth of the throughput.

Crash story: nothing is kept; a client whose connection breaks asks again.  A reset by the
client ends its task without a word in the log; only a bug of ours reaches the loop's
exception handler.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from itertools import takewhile
from time import perf_counter
from typing import Any, TypeAlias

import structlog

from asyncnet.config.sections import HttpSettings
from asyncnet.config.values import Endpoint
from asyncnet.http1.request import Request, RequestReader, read_plain_head
from asyncnet.web.access import AccessEntry, describe_access, log_access
from asyncnet.web.at_once import begin
from asyncnet.web.counter import RequestCounter
from asyncnet.web.descriptors import fit_connections
from asyncnet.web.site import ThreePages

READ_OCTETS = 262_144  # whatever one recv of asyncio or uvloop has brought
ENDING_S = 2.0  # for a client to take its answer and stop sending
DROPPED_OCTETS = 16_000_000  # and no more of an unwanted body than this
SWEEP_S = 0.25
QUIET_S = 0.25  # at a stop: a silent connection is a browser's spare one, not a request

# With asyncio's default of 100, 115 of 300 simultaneous clients wait over 0.9 s for the SYN to
# be repeated.  asyncio's own loop takes `backlog` for the number of accepts in one go, too, and
# when descriptors run out it reports each that fails: it gets the low number, its socket the high.
BACKLOG = 4096
ACCEPTS_ASYNCIO = 8

Answer: TypeAlias = Callable[[Request], Awaitable[bytes]]


class _Connection:
    """One accepted connection; task and deadline are of those that wait for something.

    Nothing of one that has ended is left to the cycle collector, which a flood would outrun.
    """

    __slots__ = ("deadline", "expired", "head", "since", "task", "writer")

    task: "asyncio.Task[None]"
    deadline: float  # by the loop's clock, which goes by milliseconds on uvloop

    def __init__(self, writer: asyncio.StreamWriter, since: float) -> None:
        self.writer = writer
        self.since = since  # by perf_counter(), where somebody wants to know
        self.expired = False  # the sweeper cancelled it, not stop()
        self.head: RequestReader | None = None  # a head that comes in pieces; None: no octet yet


class HttpListener:
    """Serves settings.listen with the three pages, or with the given answer.

    Start and stop once each, in one event loop.
    """

    def __init__(
        self,
        settings: HttpSettings,
        answer: Answer | None = None,
        access_log: Callable[[AccessEntry], None] = log_access,
        *,
        sockets: Sequence[socket.socket] = (),
        on_answer: Callable[[bytes, float], None] | None = None,
    ) -> None:
        """Nothing is opened yet.

        sockets that listen already take the place of settings.listen and are closed by stop().
        on_answer is told each response and the seconds since its connection was accepted.
        """
        self.counter = RequestCounter()
        self._settings = settings
        self._answer: Answer = answer or ThreePages(self.counter).answer
        self._answers_at_once = answer is None  # another may want a task to wait in
        self._log_access = access_log if settings.access_log else None
        self._sockets = sockets
        self._on_answer = on_answer
        self._timed = on_answer is not None or self._log_access is not None
        self._max_connections = settings.max_connections
        self._max_head = settings.max_head
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None
        self._open: set[_Connection] = set()
        # Both are in the order of their deadlines, since each has one length of time.
        self._heads: dict[_Connection, None] = {}
        self._endings: dict[_Connection, None] = {}

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses really bound, with the port the system chose where 0 was asked for."""
        names = (sock.getsockname() for server in self._servers for sock in server.sockets)
        return tuple(Endpoint(str(name[0]), int(name[1])) for name in names)

    @property
    def open_connections(self) -> int:
        """Connections being served, silent ones included."""
        return len(self._open)

    async def start(self) -> None:
        """Listen on every endpoint.

        Raises OSError that names the address when one cannot be bound; none is then.
        """
        self._loop = asyncio.get_running_loop()
        self._max_connections = fit_connections(self._settings.max_connections)
        for endpoint in self._sockets or self._settings.listen:
            try:
                self._servers.append(await self._listen(endpoint))
            except OSError as error:
                if isinstance(endpoint, Endpoint) and self._is_spare(endpoint, error):
                    continue
                self._close_servers()
                # A resolver's numbers are negative and mean nothing to strerror.
                number = error.errno or 0
                reason = os.strerror(number) if number > 0 else error.strerror
                raise OSError(error.errno, f"cannot listen on {endpoint}: {reason}") from error
        self._sweeper = asyncio.create_task(self._sweep(), name="http sweeper")

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, let running requests finish for grace_s, then cut off the rest."""
        self._close_servers()
        await asyncio.sleep(0)  # connections accepted just now get their task
        await self.wait_until_idle(min(QUIET_S, grace_s))
        self._cancel([one for one in self._heads if one.head is None])
        await self.wait_until_idle(grace_s - QUIET_S)
        self._cancel(list(self._open))
        await self.wait_until_idle(None)
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
        await asyncio.sleep(0)  # the last transports tell their protocols that they are closed

    async def wait_until_idle(self, limit_s: float | None) -> None:
        """Wait until the connections that are open now have ended; None: however long."""
        tasks = [one.task for one in self._open]
        if tasks and (limit_s is None or limit_s > 0):
            await asyncio.wait(tasks, timeout=limit_s)

    async def _listen(self, endpoint: Endpoint | socket.socket) -> asyncio.Server:
        on_uvloop = type(self._loop).__module__.partition(".")[0] == "uvloop"
        if isinstance(endpoint, Endpoint):
            where: dict[str, Any] = {"host": endpoint.host, "port": endpoint.port}
        else:
            where = {"sock": endpoint}
        server = await asyncio.start_server(
            self._connected,
            **where,
            limit=self._settings.max_head,
            backlog=BACKLOG if on_uvloop else ACCEPTS_ASYNCIO,
        )
        for bound in () if on_uvloop else server.sockets:
            with socket.fromfd(bound.fileno(), bound.family, bound.type) as same:
                same.listen(BACKLOG)
        return server

    def _is_spare(self, endpoint: Endpoint, error: OSError) -> bool:
        """True for ::1 on a machine without IPv6 (many containers), if another address serves."""
        missing = error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
        if endpoint.host != "::1" or not missing or len(self._settings.listen) == 1:
            return False
        log = structlog.get_logger("asyncnet.http")
        log.warning("no IPv6 on this machine", left_out=str(endpoint))
        return True

    def _close_servers(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _cancel(self, connections: list[_Connection]) -> None:
        for connection in connections:
            connection.task.cancel()

    def _make_room(self) -> bool:
        """Cut off who has had its answer longest, else who has been longest at its head.

        False where nobody is at either.  Who fills all places with refused requests that stay
        open, or with half a request each, would keep everybody out for the length of the
        deadline.  A visitor's head is here within a round trip: it is among the youngest.
        """
        for waiting in (self._endings, self._heads):
            oldest = next(iter(waiting), None)
            if oldest is not None:
                del waiting[oldest]
                oldest.task.cancel()
                return True
        return False

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # One turn of the loop later most requests are there.
        since = perf_counter() if self._timed else 0.0
        self._loop.call_soon(self._begin, reader, writer, since)

    def _begin(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, since: float
    ) -> None:
        """Answer now; a connection that has to wait gets a task and a deadline."""
        if len(self._open) >= self._max_connections and not self._make_room():
            writer.close()
            return
        connection = _Connection(writer, since)
        serving = self._serve(connection, reader)
        rest = begin(serving) if self._answers_at_once else serving
        if rest is None:
            return
        try:
            connection.task = asyncio.Task(rest, loop=self._loop)
        except BaseException:
            serving.close()  # one without a task would end the sweeper that meets it
            raise
        connection.task.add_done_callback(partial(self._ended, connection, serving))
        self._open.add(connection)
        if connection not in self._endings:
            connection.deadline = self._loop.time() + self._settings.head_timeout
            self._heads[connection] = None

    def _ended(
        self,
        connection: _Connection,
        serving: Coroutine[None, None, None],
        task: "asyncio.Task[None]",
    ) -> None:
        serving.close()  # closes the connection where its task was cancelled before it began
        self._open.discard(connection)
        self._heads.pop(connection, None)
        del connection.task  # whose fault, if there is one, holds the connection by its traceback
        if not task.cancelled() and (fault := task.exception()) is not None:
            story = {"message": "a fault of ours in an answer", "exception": fault, "task": task}
            self._loop.call_exception_handler(story)

    async def _serve(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        """One request and its answer.  Ends in every case, with the connection closed."""
        transport = connection.writer.transport
        try:
            try:
                data = await reader.read(READ_OCTETS)
                request = read_plain_head(data, self._max_head)
                if request is None and data:
                    connection.head = RequestReader(self._max_head)
                    request = connection.head.receive_data(data)
                del data  # up to 256 KiB, and there may be long to wait
                if request is None and connection.head is not None:
                    request = await self._read_on(connection.head, reader)
            except asyncio.CancelledError:
                request = self._judge_late(connection)
            if request is None:
                return
            self._heads.pop(connection, None)  # an expired one is out already
            response = await self._answer(request)
            # At high water 0 both loops write at once and then tell truly what is left over.
            transport.set_write_buffer_limits(0)
            transport.write(response)
            if self._timed:
                self._tell(connection, request, response)
            if request.drain or transport.get_write_buffer_size():
                del response  # who lingers has a place, and no octets in it
                connection.head = None
                await self._end_gently(connection, reader, request.drain)
        except (OSError, asyncio.CancelledError, GeneratorExit):
            # The client is gone, its time is over or its place is needed (GeneratorExit: before
            # its task began), or stop() has lost patience; nobody awaits this.
            transport.abort()
        finally:
            transport.close()

    def _tell(self, connection: _Connection, request: Request, response: bytes) -> None:
        """Let those know of an answer who want to."""
        time_s = perf_counter() - connection.since
        if self._on_answer is not None:
            self._on_answer(response, time_s)
        if self._log_access is not None:
            peer = connection.writer.get_extra_info("peername")
            unread = b"" if connection.head is None else connection.head.unread
            self._log_access(describe_access(request, response, time_s, peer, unread))

    async def _read_on(self, head: RequestReader, reader: asyncio.StreamReader) -> Request:
        """The Request of a head that comes in pieces."""
        while data := await reader.read(READ_OCTETS):
            if (request := head.receive_data(data)) is not None:
                return request
            del data
        return head.refuse("the head ends too soon")

    def _judge_late(self, connection: _Connection) -> Request | None:
        """What becomes of a head that missed its deadline; None: a close without an answer."""
        if not connection.expired or connection.task.uncancel() > 0:
            raise asyncio.CancelledError  # by stop(), perhaps in the same moment
        return None if connection.head is None else connection.head.refuse("too slow")

    async def _end_gently(
        self, connection: _Connection, reader: asyncio.StreamReader, drain: bool
    ) -> None:
        """Half-close, read and drop, so that no reset destroys an answer on its way.

        Without it a client that uploads 1 MB loses its 400 in one of three tries.
        """
        writer = connection.writer
        connection.deadline = self._loop.time() + ENDING_S
        self._endings[connection] = None
        try:
            if drain and not writer.transport.is_closing():
                writer.write_eof()
                left_octets = DROPPED_OCTETS
                # Their number alone has a name: what has one is held while we wait for more.
                while left_octets > 0 and (octets := len(await reader.read(READ_OCTETS))):
                    left_octets -= octets
            await writer.drain()
        finally:
            self._endings.pop(connection, None)

    async def _sweep(self) -> None:
        """Wake every connection whose time is over, until cancelled."""
        tick_s = min(SWEEP_S, max(self._settings.head_timeout / 4, 0.01))
        while True:
            await asyncio.sleep(tick_s)
            self._cut_off_late(self._heads)
            self._cut_off_late(self._endings)

    def _cut_off_late(self, waiting: dict[_Connection, None]) -> None:
        now = self._loop.time()
        for connection in list(takewhile(lambda one: one.deadline <= now, waiting)):
            del waiting[connection]
            connection.expired = True
            connection.task.cancel()
