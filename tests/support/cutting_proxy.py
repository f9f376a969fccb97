"""A line between a client and a server that is cut when a test says so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

Way = Literal["request", "answer"]


class CuttingProxy:
    """Forwards to a port of the loopback until a cut; who connects after that is served anew.

    cuts counts how often the line was cut.
    """

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.cuts = 0
        self._target_port = target_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._talks: set[asyncio.Task[None]] = set()
        self._armed: Way | None = None
        self._left = 0
        self._for_good = False
        self._dead = False
        self._flowing = asyncio.Event()
        self._flowing.set()

    def cut_at(self, way: Way, number: int) -> None:
        """Cut every line in place of passing on the number-th chunk that goes that way."""
        self._armed, self._left, self._for_good = way, number, False

    def cut_for_good_at(self, way: Way, number: int) -> None:
        """The same, and nobody gets through after it until revive()."""
        self._armed, self._left, self._for_good = way, number, True

    def disarm(self) -> None:
        self._armed = None

    def cut(self) -> None:
        """Cut every line now."""
        self.cuts += 1
        self._armed = None
        for writer in self._writers:
            writer.transport.abort()

    def die(self) -> None:
        """Cut every line, and any that is made from now on, until revive()."""
        self._dead = True
        self.cut()

    def revive(self) -> None:
        self._dead = False

    def freeze(self) -> None:
        """Let nothing through, and cut no line, until thaw(): as a server that hangs."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["CuttingProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.thaw()
            self.die()
            if self._talks:
                await asyncio.wait(set(self._talks))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._dead:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forward("request", reader, far_writer))
                tasks.create_task(self._forward("answer", far_reader, writer))
        finally:
            self._writers -= pair
            for end in pair:
                end.transport.abort()

    async def _forward(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                if self._armed == way:
                    self._left -= 1
                    if self._left <= 0:
                        self._dead = self._for_good
                        self.cut()
                        return
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()
