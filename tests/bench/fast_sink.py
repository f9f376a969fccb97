"""A sink for measuring: takes every message at once and tells when, on a bare Protocol.

It offers PIPELINING, SIZE and 8BITMIME and checks nothing: aiosmtpd, the sink of the tests,
needs more time for a message than the daemon that is measured.
"""

import asyncio
from collections.abc import Callable
from typing import cast

END = b"\r\n.\r\n"
GREETING = b"220 sink.example.org ESMTP\r\n"
CAPABILITIES = b"250-sink.example.org\r\n250-PIPELINING\r\n250-SIZE 0\r\n250 8BITMIME\r\n"


class FastSink(asyncio.Protocol):
    """One connection.  on_message is called when a message's last octet is here."""

    def __init__(self, on_message: Callable[[], None]) -> None:
        self._on_message = on_message
        self._buffer = bytearray()
        self._in_content = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        answers: list[bytes] = []
        while self._content(answers) if self._in_content else self._command(answers):
            pass
        if answers and self._transport is not None:
            self._transport.write(b"".join(answers))

    def _content(self, answers: list[bytes]) -> bool:
        end = self._buffer.find(END)
        if end < 0:
            del self._buffer[: -len(END)]  # all but what may be the start of the end
            return False
        del self._buffer[: end + len(END)]
        self._in_content = False
        answers.append(b"250 2.0.0 taken\r\n")
        self._on_message()
        return True

    def _command(self, answers: list[bytes]) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        verb = bytes(self._buffer[:4]).upper()
        del self._buffer[: end + 2]
        if verb == b"EHLO":
            answers.append(CAPABILITIES)
        elif verb == b"DATA":
            self._in_content = True
            answers.append(b"354 go on\r\n")
        elif verb == b"QUIT":
            answers.append(b"221 2.0.0 bye\r\n")
        else:
            answers.append(b"250 2.0.0 ok\r\n")
        return True
