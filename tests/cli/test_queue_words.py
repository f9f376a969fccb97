"""`asyncnet queue hold`, `release`, `retry`, `cancel` as a person runs them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asyncnet.config.values import Endpoint
from asyncnet.lab.sink import Sink
from tests.support.daemon import DaemonProcess, config_text, running
from tests.support.maildir import read_maildir
from tests.support.smtp_server import ScriptedServer

JOB = "from: Ada <ada@example.org>\nto: {name}@example.com\nsubject: Hello\ntext: Hello.\n"
FAR = "send_at: 2099-01-01T00:00:00Z\n"


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)
        return found


async def queue(folder: Path, *argv: str) -> Ended:
    """Run `asyncnet queue ARGV` on the settings in folder until it ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "asyncnet", "queue", *argv, "-c", "asyncnet.toml"),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def accepted(daemon: DaemonProcess, *names: str, more: str = "") -> None:
    """Drop jobs and return when they are in the queue."""
    for name in names:
        daemon.drop(f"{name}.yaml", JOB.format(name=name) + more)
    for name in names:
        assert await daemon.said("job accepted", name=name)


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    built = Sink((Endpoint("127.0.0.1", 0),), tmp_path / "mail")
    await built.start()
    yield built
    await built.stop()


async def test_held_released_and_canceled_beside_the_daemon(tmp_path: Path, sink: Sink) -> None:
    config = config_text(tmp_path, sink.endpoints[0].port)
    async with running(tmp_path, config) as daemon:
        await accepted(daemon, "one", "two", more=FAR)
        held = await queue(tmp_path, "hold", "one", "two", "--reason", "the lawyers are in")
        shown = await queue(tmp_path, "show", "one")
        canceled = await queue(tmp_path, "cancel", "two", "--reason", "by post")
        result = await daemon.result("two")
        again = await queue(tmp_path, "cancel", "two")
        tried = await queue(tmp_path, "retry", "two", "nobody")
        await daemon.kill()
    assert (held.code, held.err) == (0, "")
    assert "one (" in held.out
    assert "is held, until: asyncnet queue release " in held.out
    assert "the lawyers are in" in shown.out
    assert canceled.code == again.code == 0
    assert (result["status"], result["recipients"][0]["status"]) == ("canceled", "canceled")
    assert result["recipients"][0]["text"] == "canceled by hand: by post"
    assert tried.code == 65
    assert "is finished: canceled; to send it again, move two.yaml and two.result.json" in tried.out
    assert "no job has the id or name 'nobody'" in tried.err
    async with running(tmp_path, config) as daemon:
        listed = await queue(tmp_path, "list", "--json")
        assert [(it["name"], it["status"]) for it in listed.jobs] == [("one", "held")]
        released = await queue(tmp_path, "release", "--all", "--json")
        (job,) = released.jobs
        assert (released.code, job["effect"], job["status"]) == (0, "scheduled", "queued")
        assert await queue(tmp_path, "release", "--state", "held") == Ended(
            0, "", "asyncnet: no job that waits is meant\n"
        )
    assert read_maildir(sink.maildir) == []


async def test_listed_and_shown_by_name_account_and_state_beside_the_daemon(
    tmp_path: Path, sink: Sink
) -> None:
    port = sink.endpoints[0].port
    other = f'[account.other]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\n'
    async with running(tmp_path, config_text(tmp_path, port, other)) as daemon:
        await accepted(daemon, "one", "two", more=FAR)
        await accepted(daemon, "three", more=FAR + "account: other\n")
        await accepted(daemon, "gone")
        await daemon.result("gone")
        await queue(tmp_path, "hold", "two")
        lists = {
            argv: sorted(it["name"] for it in (await queue(tmp_path, *argv.split())).jobs)
            for argv in (
                *("list --json", "list --all --json", "list --state held --json"),
                *("list --state sent --state held --json", "list --account other --json"),
                *("list gone two --json", "list gone two --state held --json"),
                *("show --account local --json", "show one three --json"),
            )
        }
        shown = await queue(tmp_path, "show", "--state", "held", "--state", "sent")
        slip = await queue(tmp_path, "list", "--account", "locla")
        # The states and the account of those that act on jobs mean the same ones.
        held = await queue(tmp_path, "hold", "--account", "other", "--state", "queued", "--json")
    assert lists == {
        "list --json": ["one", "three", "two"],
        "list --all --json": ["gone", "one", "three", "two"],
        "list --state held --json": ["two"],
        "list --state sent --state held --json": ["gone", "two"],
        "list --account other --json": ["three"],
        "list gone two --json": ["gone", "two"],
        "list gone two --state held --json": ["two"],
        "show --account local --json": ["one", "two"],
        "show one three --json": ["one", "three"],
    }
    heads = [line.split()[0] for line in shown.out.splitlines() if not line.startswith(" ")]
    assert (shown.code, sorted(heads)) == (0, ["gone", "two"])
    assert (slip.code, slip.out) == (64, "")
    assert "there is no account 'locla'; did you mean 'local'?" in slip.err
    assert [it["name"] for it in held.jobs] == ["three"]


async def test_a_deferred_mail_goes_at_once_when_a_person_says_so(tmp_path: Path) -> None:
    answers = [b"451 4.7.1 come back later\r\n"]
    async with ScriptedServer(refuse=lambda _: answers.pop() if answers else None) as server:
        config = config_text(tmp_path, server.port) + '[queue]\nretry = ["1h"]\njitter = 0.0\n'
        async with running(tmp_path, config) as daemon:
            await accepted(daemon, "hello")
            assert await daemon.said("attempt")
            tried = await queue(tmp_path, "retry", "hello")
            result = await daemon.result("hello")
    assert tried.code == 0
    assert tried.out.endswith("is tried now\n")
    assert (result["status"], result["attempts"]) == ("sent", 2)


async def test_without_a_daemon_the_store_is_written_itself(tmp_path: Path, sink: Sink) -> None:
    config = config_text(tmp_path, sink.endpoints[0].port)
    async with running(tmp_path, config) as daemon:
        await accepted(daemon, "one", "two", more=FAR)
    held = await queue(tmp_path, "hold", "one")
    canceled = await queue(tmp_path, "cancel", "two", "--json")
    retried = await queue(tmp_path, "retry", "one")
    again = await queue(tmp_path, "hold", "one")
    assert "is not tried before its time, 2099-" in retried.out
    assert (again.code, retried.err) == (0, "")
    assert (held.code, held.err) == (0, "no daemon runs; it counts from its next start on\n")
    assert [(it["name"], it["effect"]) for it in canceled.jobs] == [("two", "done")]
    async with running(tmp_path, config) as daemon:
        assert (await daemon.result("two"))["status"] == "canceled"
        listed = await queue(tmp_path, "list", "--json")
        assert [(it["name"], it["status"]) for it in listed.jobs] == [("one", "held")]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["hold"], "say which: ids or names, an account, a state, or all"),
        (["hold", "one", "--all"], "not both"),
        (["cancel", "--state", "sent"], "'--state': 'sent' is not one of"),
        (["cancel", "--account", "locla"], "there is no account 'locla'; did you mean 'local'?"),
    ],
)
async def test_a_slip_on_the_command_line_is_told(
    tmp_path: Path, sink: Sink, argv: list[str], told: str
) -> None:
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)):
        ended = await queue(tmp_path, *argv)
    assert (ended.code, ended.out) == (64, "")
    assert told in ended.err


async def test_before_the_first_start_there_is_nothing_to_act_on(tmp_path: Path) -> None:
    (tmp_path / "asyncnet.toml").write_text(config_text(tmp_path, 1))
    ended = await queue(tmp_path, "hold", "--all")
    assert (ended.code, ended.out) == (69, "")
    assert "there is no queue at" in ended.err
