"""Who may log in to Postfix: Dovecot's authentication protocol, version 1, the little of it
that PLAIN and LOGIN need.

Lines of fields between tabs: the server tells its mechanisms, the client sends AUTH with a
number of its own and perhaps an initial response, CONT carries challenges and responses, OK or
FAIL decides.
"""

import asyncio
import base64
import os

from tests.support.peers.loopback import LoopbackServer

_MECHANISMS = ("PLAIN", "LOGIN")


class DovecotAuth(LoopbackServer):
    """`async with DovecotAuth(user, password) as auth`: listens on 127.0.0.1, auth.port."""

    def __init__(self, user: str, password: str) -> None:
        super().__init__()
        self._user = user
        self._password = password

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names = "".join(f"MECH\t{name}\tplaintext\n" for name in _MECHANISMS)
        writer.write(f"VERSION\t1\t2\n{names}SPID\t{os.getpid()}\nCUID\t1\nDONE\n".encode())
        said: dict[str, list[str]] = {}  # by number: the mechanism and what was said to it
        async for line in reader:
            verb, *fields = line.decode().rstrip("\n").split("\t")
            if verb == "AUTH":
                number, mechanism, *options = fields
                said[number] = [mechanism]
                if options and options[-1].startswith("resp="):
                    said[number].append(_decoded(options[-1].removeprefix("resp=")))
                writer.write(self._answer(number, said[number]))
            elif verb == "CONT":
                said[fields[0]].append(_decoded(fields[1]))
                writer.write(self._answer(fields[0], said[fields[0]]))

    def _answer(self, number: str, said: list[str]) -> bytes:
        mechanism, *responses = said
        prompts = ("",) if mechanism == "PLAIN" else ("Username:", "Password:")
        if len(responses) < len(prompts):
            challenge = base64.b64encode(prompts[len(responses)].encode()).decode()
            return f"CONT\t{number}\t{challenge}\n".encode()
        given = responses[0].split("\0")[1:] if mechanism == "PLAIN" else responses
        if given == [self._user, self._password]:
            return f"OK\t{number}\tuser={self._user}\n".encode()
        return f"FAIL\t{number}\treason=not the password\n".encode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
