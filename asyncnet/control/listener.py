"""The daemon's side of the control socket: questions in, answers out, at a bounded cost.

A client that sends too much, too slowly or nothing costs one place of MAX_TALKS for REQUEST_S.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

import structlog

from asyncnet.control import place
from asyncnet.control.protocol import (
    MAX_REQUEST_OCTETS,
    RefusalKind,
    Refused,
    Request,
    Verb,
    answer_line,
    parse_request,
    refusal_line,
)

MAX_TALKS = 16  # at a time: persons and their scripts, not a service for many
REQUEST_S = 5.0  # for the whole question to come
ANSWER_S = 30.0  # for the answer to be found, and again for it to be taken

log = structlog.get_logger()


class ControlListener:
    """Answers at the control socket in folder, by the verbs that it was given last."""

    def __init__(
        self, folder: Path, *, request_s: float = REQUEST_S, answer_s: float = ANSWER_S
    ) -> None:
        """Nothing is opened yet."""
        self.verbs: Mapping[str, Verb] = {}
        self._folder = folder
        self._request_s = request_s
        self._answer_s = answer_s
        self._server: asyncio.AbstractServer | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen.  Raises OSError; nothing stays open then."""
        listener = place.listen(self._folder)
        try:
            self._server = await asyncio.start_unix_server(
                self._accept, sock=listener, limit=MAX_REQUEST_OCTETS
            )
        except BaseException:
            listener.close()
            place.remove(self._folder)
            raise

    async def stop(self) -> None:
        """Take the socket away and cut off what is under way."""
        if self._server is None:
            return
        place.remove(self._folder)
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        if self._talks:
            await asyncio.wait(set(self._talks))
        self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._talk(reader, writer, busy=len(self._talks) >= MAX_TALKS))
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, busy: bool
    ) -> None:
        # Whoever asks may leave at any time; that is nobody's trouble.
        with contextlib.suppress(OSError, TimeoutError):
            try:
                writer.write(await self._reply(reader, busy=busy))
                async with asyncio.timeout(self._answer_s):
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
            finally:
                writer.transport.abort()

    async def _reply(self, reader: asyncio.StreamReader, *, busy: bool) -> bytes:
        try:
            if busy:
                raise Refused(RefusalKind.UNAVAILABLE, "too many ask at once; ask again")
            return answer_line(await self._answer(await self._request(reader)))
        except Refused as refused:
            return refusal_line(refused)

    async def _request(self, reader: asyncio.StreamReader) -> Request:
        try:
            async with asyncio.timeout(self._request_s):
                line = await reader.readline()
        except TimeoutError:
            raise Refused(RefusalKind.USAGE, f"no question within {self._request_s:g} s") from None
        except ValueError:  # how readline() tells of a line past the limit
            raise Refused(
                RefusalKind.USAGE, f"a question of more than {MAX_REQUEST_OCTETS} octets"
            ) from None
        return parse_request(line)

    async def _answer(self, request: Request) -> object:
        verb = self.verbs.get(request.verb)
        if verb is None:
            raise Refused(
                RefusalKind.USAGE, f"this daemon has no verb {request.verb!r}; is it an older one?"
            )
        if request.arguments:  # who only looks has none, and may look every second
            log.info("control", verb=request.verb, arguments=dict(request.arguments))
        try:
            async with asyncio.timeout(self._answer_s):
                return await verb(request.arguments)
        except TimeoutError:
            raise Refused(
                RefusalKind.UNAVAILABLE, f"no answer within {self._answer_s:g} s; ask again"
            ) from None
        except Refused:
            raise
        except Exception:
            # A net for our own mistakes: the daemon has better to do than to die of a question.
            log.exception("control verb failed", verb=request.verb)
            raise Refused(
                RefusalKind.FAULT, "a fault of the daemon's; its log has the traceback"
            ) from None
