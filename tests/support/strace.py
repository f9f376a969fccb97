"""strace as an instrument: what one thread asks of the system, and one answer that is a fault."""

import asyncio
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)$")
_PATH = re.compile(r'"([^"]*/[^"]*)"')
_DESCRIPTOR = re.compile(r"<((?:[^<>]|<[^<>]*>)*)>")
_QUEUE_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}")
_LOCK = re.compile(r"l_type=(\w+)")
_TEMPORARY = re.compile(r"(?:^|/)(?:asyncnet-points-\w+|tmp\w{8})\b")
_NUMBER = re.compile(r"\d+")
ATTACH_S = 20.0


class NoTracing(Exception):
    """The system does not let strace trace; str() says why."""


class NoStrace(NoTracing):
    """It is missing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One system call; on is what it was about, without all that differs each time."""

    name: str
    on: str


class Strace:
    """A running strace; made by attach()."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def attach(cls, thread: int, log: Path, *options: str) -> "Strace":
        """Return once it holds the thread.  Raises NoTracing, NoStrace among them."""
        binary = shutil.which("strace")
        if binary is None:
            raise NoStrace("there is no strace (Debian: apt-get install strace)")
        process = await asyncio.create_subprocess_exec(
            *(binary, "-y", "-s", "40", "-o", str(log), *options, "-p", str(thread)),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        async with asyncio.timeout(ATTACH_S):
            line = (await process.stderr.readline()).decode()
            if "attached" not in line:
                await process.wait()
                raise NoTracing(f"ptrace is not allowed here: {line.strip()}")
        return cls(process)

    async def detach(self) -> None:
        """Let the thread go on alone; whatever was traced is in the log."""
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.communicate()


def calls(log: Path) -> list[Call]:
    """All calls of a thread's log, in their order."""
    matches = (_CALL.match(line) for line in log.read_text("utf-8", "replace").splitlines())
    return [Call(match[1], _subject(match[2])) for match in matches if match is not None]


def struck(log: Path) -> Call | None:
    """The call that met the fault, or the last one before the thread was killed."""
    lines = log.read_text("utf-8", "replace").splitlines()
    killed = any(line.startswith("+++ killed by") for line in lines)
    lines = [line for line in lines if _CALL.match(line)]
    found = lines[-1:] if killed else [line for line in lines if "(INJECTED)" in line]
    match = _CALL.match(found[0]) if found else None
    return None if match is None else Call(match[1], _subject(match[2]))


def _subject(arguments: str) -> str:
    first = arguments.partition(", ")[0]
    found = _DESCRIPTOR.search(first) if first[:1].isdigit() else _PATH.search(arguments)
    words = found[1] if found is not None else ""
    if (lock := _LOCK.search(arguments)) is not None:
        words += f" {lock[1]}"
    short = "/".join(_QUEUE_ID.sub("ID", words).split("/")[-2:])
    return _NUMBER.sub("N", _TEMPORARY.sub("/", short))
