"""The control socket on a real file system, asked by the real client and by bad ones."""

import asyncio
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from asyncnet.control import place
from asyncnet.control.client import NoDaemon, Unreachable, ask
from asyncnet.control.listener import MAX_TALKS, ControlListener
from asyncnet.control.protocol import (
    MAX_REQUEST_OCTETS,
    SOCKET_NAME,
    Arguments,
    RefusalKind,
    Refused,
    Request,
)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


async def echo(arguments: Arguments) -> object:
    return dict(arguments)


@asynccontextmanager
async def listening(folder: Path, **options: float) -> AsyncIterator[ControlListener]:
    listener = ControlListener(folder, **options)
    listener.verbs = {"echo": echo}
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


async def asked(folder: Path, verb: str = "echo", **arguments: Any) -> Any:
    return await asyncio.to_thread(ask, folder, verb, arguments, answer_s=10.0)


async def test_a_question_is_answered(tmp_path: Path) -> None:
    async with listening(tmp_path):
        assert await asked(tmp_path, name="wörk", n=3) == {"name": "wörk", "n": 3}


async def test_the_socket_is_its_owner_s_alone(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o777)
    async with listening(tmp_path):
        mode = (tmp_path / SOCKET_NAME).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        assert os.listdir(tmp_path) == [SOCKET_NAME]


async def test_it_is_private_even_before_it_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(path: Path, mode: int) -> None:
        seen.append(stat.S_IMODE(path.parent.stat().st_mode))
        seen.append(mode)

    before = os.umask(0)
    try:
        monkeypatch.setattr(os, "chmod", spy)
        place.listen(tmp_path).close()
    finally:
        os.umask(before)
    assert seen == [0o700, 0o600]


async def test_after_the_stop_nobody_listens(tmp_path: Path) -> None:
    async with listening(tmp_path):
        pass
    assert os.listdir(tmp_path) == []
    with pytest.raises(NoDaemon):
        await asked(tmp_path)


async def test_what_a_killed_daemon_left_is_no_daemon_and_is_replaced(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from asyncnet.control.place import listen\n"
        "s = listen(Path(sys.argv[1])); print('here', flush=True); sys.stdin.read()"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(tmp_path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"here\n"
    process.send_signal(signal.SIGKILL)
    await process.wait()
    (tmp_path / ".control-forgotten").mkdir()
    assert (tmp_path / SOCKET_NAME).exists()
    with pytest.raises(NoDaemon):
        await asked(tmp_path)
    async with listening(tmp_path):
        assert await asked(tmp_path) == {}
        assert os.listdir(tmp_path) == [SOCKET_NAME]


async def test_a_path_longer_than_any_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)
    async with listening(folder):
        assert await asked(folder, n=1) == {"n": 1}
    with pytest.raises(NoDaemon):
        await asked(folder)


async def test_a_long_path_is_told_where_it_cannot_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "_DESCRIPTORS", str(tmp_path / "no-proc"))
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with pytest.raises(OSError, match="longer than 103 octets"):
        await ControlListener(folder).start()
    assert os.listdir(folder) == []


async def test_an_unknown_verb_is_refused(tmp_path: Path) -> None:
    async with listening(tmp_path):
        with pytest.raises(Refused, match=r"no verb 'queue.dance'") as caught:
            await asked(tmp_path, "queue.dance")
    assert caught.value.kind is RefusalKind.USAGE


async def test_a_refusal_of_a_verb_arrives(tmp_path: Path) -> None:
    async def refuse(arguments: Arguments) -> object:
        raise Refused(RefusalKind.UNKNOWN, "there is no such thing")

    async with listening(tmp_path) as listener:
        listener.verbs = {"refuse": refuse}
        with pytest.raises(Refused, match="there is no such thing") as caught:
            await asked(tmp_path, "refuse")
    assert caught.value.kind is RefusalKind.UNKNOWN


async def test_a_fault_of_ours_is_logged_and_the_next_is_answered(
    tmp_path: Path, logs: list[EventDict]
) -> None:
    async def fail(arguments: Arguments) -> object:
        raise ZeroDivisionError

    async with listening(tmp_path) as listener:
        listener.verbs = {"fail": fail, "echo": echo}
        with pytest.raises(Refused) as caught:
            await asked(tmp_path, "fail")
        assert await asked(tmp_path) == {}
    assert caught.value.kind is RefusalKind.FAULT
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "control verb failed"
    ]


async def test_what_was_asked_for_is_logged(tmp_path: Path, logs: list[EventDict]) -> None:
    async with listening(tmp_path):
        await asked(tmp_path)
        await asked(tmp_path, names=["work"])
    (line,) = [line for line in logs if line["event"] == "control"]
    assert (line["verb"], line["arguments"]) == ("echo", {"names": ["work"]})


async def test_a_verb_that_takes_too_long_is_cut_off(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def hang(arguments: Arguments) -> object:
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    async with listening(tmp_path, answer_s=0.05) as listener:
        listener.verbs = {"hang": hang}
        with pytest.raises(Refused, match=r"no answer within 0.05 s"):
            await asked(tmp_path, "hang")
        assert ended.is_set()


async def test_a_daemon_that_never_answers_is_unreachable(tmp_path: Path) -> None:
    deaf = place.listen(tmp_path)
    with deaf, pytest.raises(Unreachable, match=r"did not answer within 0.05 s"):
        await asyncio.to_thread(ask, tmp_path, "echo", {}, answer_s=0.05)


async def test_stopping_cuts_off_what_is_under_way(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def hang(arguments: Arguments) -> object:
        begun.set()
        return await asyncio.Event().wait()

    async with listening(tmp_path) as listener:
        listener.verbs = {"hang": hang}
        asking = asyncio.create_task(asked(tmp_path, "hang"))
        await begun.wait()
    with pytest.raises(Unreachable):
        await asking


# Bad clients.


async def said(folder: Path, octets: bytes, *, end: bool = False) -> bytes:
    """Send octets as they are, and read all that comes back."""
    reader, writer = await asyncio.open_unix_connection(str(folder / SOCKET_NAME))
    try:
        writer.write(octets)
        if end:
            writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"\n", id="an empty line"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="a browser"),
        pytest.param(b"\0" * 100 + b"\n", id="NUL"),
        pytest.param(b"x" * (MAX_REQUEST_OCTETS + 1), id="no end of line"),
        pytest.param(b"[" * 60_000 + b"\n", id="deep"),
    ],
)
async def test_nonsense_is_refused_and_the_next_is_answered(tmp_path: Path, octets: bytes) -> None:
    async with listening(tmp_path):
        assert b'"refusal"' in await said(tmp_path, octets)
        assert await asked(tmp_path) == {}


async def test_who_leaves_before_asking_costs_nothing(tmp_path: Path) -> None:
    async with listening(tmp_path):
        assert b'"refusal"' in await said(tmp_path, b'{"asyncnet"', end=True)
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(str(tmp_path / SOCKET_NAME))
        assert await asked(tmp_path) == {}


async def test_who_says_nothing_is_sent_away(tmp_path: Path) -> None:
    async with listening(tmp_path, request_s=0.05):
        assert b"no question within 0.05 s" in await said(tmp_path, b"")


async def test_too_many_at_once_are_sent_away_and_the_others_stay(tmp_path: Path) -> None:
    async with listening(tmp_path):
        places = [
            await asyncio.open_unix_connection(str(tmp_path / SOCKET_NAME))
            for _ in range(MAX_TALKS)
        ]
        assert b"too many ask at once" in await said(tmp_path, b"")
        reader, writer = places[0]
        writer.write(Request("echo", {"n": 1}).encode())
        assert b'"answer"' in await reader.read()
        for _, writer in places:
            writer.close()


async def test_who_does_not_read_the_answer_is_left(tmp_path: Path) -> None:
    async def much(arguments: Arguments) -> object:
        return "x" * 5_000_000

    async with listening(tmp_path, answer_s=0.05) as listener:
        listener.verbs = {"much": much, "echo": echo}
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.connect(str(tmp_path / SOCKET_NAME))
            deaf.sendall(Request("much").encode())
            assert len(await asked(tmp_path, "much")) == 5_000_000
            assert await asked(tmp_path) == {}
