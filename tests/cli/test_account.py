"""`asyncnet account` as a person runs it: beside a daemon, without one, and where none answers."""

import asyncio
import fcntl
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asyncnet.config.values import Endpoint
from asyncnet.lab.sink import Sink
from tests.support.daemon import DaemonProcess, config_text, running, start

LOGIN = ("ada", "made up for this test")
JOB = "from: Ada <ada@example.org>\nto: {to}\nsubject: Hello\ntext: Hello.\n"


class Ended(NamedTuple):
    code: int
    out: str
    err: str


async def account(folder: Path, *argv: str) -> Ended:
    """Run `asyncnet account ARGV` on the settings in folder until it ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "asyncnet", "account", *argv, "-c", "asyncnet.toml"),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def listed(folder: Path, name: str = "local") -> dict[str, Any]:
    ended = await account(folder, "list", "--json")
    assert ended.code == 0, ended
    (found,) = [it for it in json.loads(ended.out) if it["name"] == name]
    return dict(found)


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    built = Sink((Endpoint("127.0.0.1", 0),), tmp_path / "mail", login=LOGIN)
    await built.start()
    yield built
    await built.stop()


@pytest.fixture
def config(tmp_path: Path, sink: Sink) -> str:
    """Settings whose account reads its password from a file."""
    (tmp_path / "password").write_text(LOGIN[1])
    text = config_text(tmp_path, sink.endpoints[0].port)
    login = f'user = "{LOGIN[0]}"\nsecret = {{ file = "{tmp_path / "password"}" }}'
    return text.replace("[account.local]", f"[account.local]\n{login}")


def drop(daemon: DaemonProcess, name: str) -> None:
    daemon.drop(f"{name}.yaml", JOB.format(to=f"{name}@example.com"))


async def test_a_wrong_password_is_seen_put_right_and_released(tmp_path: Path, config: str) -> None:
    (tmp_path / "password").write_text("wrong")
    async with running(tmp_path, config) as daemon:
        drop(daemon, "hello")
        assert await daemon.said("account waits")
        state = await listed(tmp_path)
        seen = await account(tmp_path, "list")
        (tmp_path / "password").write_text(LOGIN[1])
        released = await account(tmp_path, "release", "local")
        result = await daemon.result("hello")
        after = await listed(tmp_path)
    assert (state["state"], state["failures"], state["waiting"]) == ("held", 1, 1)
    assert state["reason"].startswith("535 ")
    assert state["until"] is not None
    for words in ("local", "held", "in 15 min", "535 ", "look at the account's user and secret"):
        assert words in seen.out
    assert released == Ended(0, "local is released; 1 mail waits\n", "")
    assert (result["status"], result["attempts"]) == ("sent", 1)
    assert (after["state"], after["failures"], after["waiting"]) == ("ok", 0, 0)


async def test_a_hold_counts_at_once_and_outlives_a_kill(tmp_path: Path, config: str) -> None:
    async with running(tmp_path, config) as daemon:
        held = await account(tmp_path, "hold", "local", "--reason", "the lawyers are in")
        drop(daemon, "waits")
        await daemon.kill()
    assert held.code == 0
    assert "asyncnet account release local" in held.out
    assert (tmp_path / "spool" / "control.sock").exists()
    assert (await listed(tmp_path))["held_by_person"] is True
    async with running(tmp_path, config) as daemon:
        while (state := await listed(tmp_path))["waiting"] == 0:
            pass
        assert (state["state"], state["reason"]) == ("held", "the lawyers are in")
        assert daemon.process.returncode is None
        assert (await account(tmp_path, "release", "local")).code == 0
        assert (await daemon.result("waits"))["status"] == "sent"


async def test_without_a_daemon_the_store_is_written_itself(tmp_path: Path, config: str) -> None:
    async with running(tmp_path, config):
        pass
    held = await account(tmp_path, "hold", "local", "--json")
    again = await account(tmp_path, "list")
    (document,) = json.loads(held.out)
    assert (held.code, document["state"]) == (0, "held")
    assert "when released" in again.out
    async with running(tmp_path, config) as daemon:
        drop(daemon, "hello")
        assert (await listed(tmp_path))["state"] == "held"
        await account(tmp_path, "release", "local")
        assert (await daemon.result("hello"))["status"] == "sent"
    released = await account(tmp_path, "release", "local")
    assert released == Ended(
        0, "local is released\n", "no daemon runs; it counts from its next start on\n"
    )


async def test_nothing_is_done_behind_a_daemon_that_does_not_answer(
    tmp_path: Path, config: str
) -> None:
    async with running(tmp_path, config):
        pass
    with (tmp_path / "spool" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = await account(tmp_path, "hold", "local")
    assert ended.code == 75
    assert "does not listen at its control socket" in ended.err
    assert (await listed(tmp_path))["state"] == "ok"


async def test_a_slip_is_told_with_the_nearest_name(tmp_path: Path, config: str) -> None:
    async with running(tmp_path, config):
        beside = await account(tmp_path, "hold", "locla")
    alone = await account(tmp_path, "hold", "locla")
    assert beside == alone
    assert (alone.code, alone.out) == (64, "")
    assert alone.err == "asyncnet: there is no account 'locla'; did you mean 'local'?\n"


async def test_before_the_first_start_all_is_well_and_nothing_can_be_held(
    tmp_path: Path, config: str
) -> None:
    (tmp_path / "asyncnet.toml").write_text(config)
    assert (await listed(tmp_path))["state"] == "ok"
    ended = await account(tmp_path, "hold", "local")
    assert ended.code == 69
    assert "start the daemon once" in ended.err
    assert not (tmp_path / "spool").exists()


async def test_a_reload_keeps_the_hold_and_the_socket(tmp_path: Path, config: str) -> None:
    async with running(tmp_path, config) as daemon:
        await account(tmp_path, "hold", "local")
        (tmp_path / "asyncnet.toml").write_text(f'{config}\n[account.more]\nhost = "127.0.0.1"\n')
        daemon.process.send_signal(signal.SIGHUP)
        assert await daemon.said("reloaded")
        assert (await listed(tmp_path))["state"] == "held"
        assert (await listed(tmp_path, "more"))["state"] == "ok"
        drop(daemon, "hello")
        await account(tmp_path, "release", "local")
        assert (await daemon.result("hello"))["status"] == "sent"


async def test_a_part_of_the_daemon_answers_too(tmp_path: Path, config: str) -> None:
    argv = ("-m", "asyncnet", "serve", "--only", "intake")
    daemon = await start(tmp_path, config, argv=argv)
    assert await daemon.wait_ready(), daemon.errors
    assert (await account(tmp_path, "hold", "local")).code == 0
    assert await daemon.said("control")
    assert (await listed(tmp_path))["state"] == "held"
    assert await daemon.terminate() == 0
    assert not os.path.exists(tmp_path / "spool" / "control.sock")


# The administrator's table of providers.


async def test_a_bad_table_of_providers_stops_the_start_with_78(
    tmp_path: Path, config: str
) -> None:
    (tmp_path / "providers.toml").write_text("[preset.qq]\nconections = 2\n")
    daemon = await start(tmp_path, config)
    assert await daemon.wait() == 78
    (line,) = daemon.errors
    assert "providers.toml: preset.qq: unknown key 'conections'; did you mean 'conn" in line


async def test_an_account_of_an_unknown_preset_stops_the_start_with_78(
    tmp_path: Path, config: str
) -> None:
    daemon = await start(tmp_path, config + '\n[account.x]\npreset = "gmial"\n')
    assert await daemon.wait() == 78
    assert daemon.errors == ["asyncnet: [account.x] unknown preset 'gmial'; did you mean 'gmail'?"]


async def test_a_table_of_providers_counts_from_a_reload_on_and_a_bad_one_does_not(
    tmp_path: Path, config: str
) -> None:
    async with running(tmp_path, config) as daemon:
        (tmp_path / "providers.toml").write_text("[preset.corp\n")
        daemon.process.send_signal(signal.SIGHUP)
        refused = await daemon.said("settings not reloaded; the old ones stay")
        (tmp_path / "providers.toml").write_text(
            '[preset.corp]\nhost = "127.0.0.1"\nports = { 587 = "starttls" }\n'
        )
        (tmp_path / "asyncnet.toml").write_text(f'{config}\n[account.x]\npreset = "corp"\n')
        daemon.process.send_signal(signal.SIGHUP)
        assert await daemon.said("reloaded")
        drop(daemon, "hello")
        assert (await daemon.result("hello"))["status"] == "sent"
    assert refused is not None
    assert "providers.toml" in refused["problem"]
