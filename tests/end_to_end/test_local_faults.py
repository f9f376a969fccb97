"""Faults of this machine: the daemon says what it waits for, and goes on by itself.

No mail fails for them, none is lost, and none is sent twice.
"""

import asyncio
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncnet.cli import exit_codes
from tests.support.clock import LOOK_S, FakeClock, NoFakeClock
from tests.support.cutting_proxy import CuttingProxy
from tests.support.daemon import DaemonProcess, config_text, running, start
from tests.support.smtp_server import Heard, ScriptedServer

JOB = "from: ada@example.org\nto: ok@example.com\nsubject: x\ntext: {}\n"
SMALL, LARGE = "y", "y" * 40_000  # the content of the second lies in a file
DISK_MB = 8


def settings(folder: Path, port: int, *, spool: str = "", queue: str = "") -> str:
    text = config_text(folder, port).replace("[spool]", f'[spool]\nmin_free = "0MB"\n{spool}')
    return f"{text}[queue]\n{queue}\n"


def taken(heard: Heard) -> int:
    """How many times a server took a mail."""
    return sum(it.taken for it in heard.deliveries)


def once(action: Callable[[], bytes | None]) -> Callable[[str], bytes | None]:
    """What a server does at the first recipient, in place of a plain yes."""
    left = [action]
    return lambda recipient: left.pop()() if left else None


def is_sent(result: dict[str, Any]) -> None:
    assert result["status"] == "sent"
    assert not any(it["possible_duplicate"] for it in result["recipients"])


# A full disk.


class SmallDisk:
    """A disk of its own that can be filled up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(descriptor, bytes(4096))
        except OSError:
            return
        finally:
            os.close(descriptor)

    def make_room(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def small_disk() -> Iterator[SmallDisk]:
    folder = Path(tempfile.mkdtemp(prefix="asyncnet-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"LEFT OUT: no small disk can be mounted here: {mounted.stderr.strip()}")
    yield SmallDisk(folder)
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


@pytest.mark.parametrize("text", [SMALL, LARGE], ids=["small", "large"])
async def test_a_job_on_a_full_disk_waits_for_room(small_disk: SmallDisk, text: str) -> None:
    async with ScriptedServer() as server:
        config = settings(small_disk.folder, server.port)
        async with running(small_disk.folder, config) as daemon:
            aside = daemon.spool / "pickup" / ".job"
            aside.write_text(JOB.format(text))
            small_disk.fill()
            aside.rename(aside.with_name("job.yaml"))
            waits = await daemon.said("intake waits")
            assert waits is not None
            assert "full" in waits["reason"] or "No space" in waits["reason"]
            small_disk.make_room()
            is_sent(await daemon.result("job"))
            assert await daemon.said("intake goes on")
        assert taken(server.heard) == 1


async def test_a_verdict_on_a_full_disk_waits_for_room(small_disk: SmallDisk) -> None:
    server = ScriptedServer(refuse=once(small_disk.fill))
    async with server:
        config = settings(small_disk.folder, server.port)
        async with running(small_disk.folder, config) as daemon:
            daemon.drop("job.yaml", JOB.format(LARGE))
            waits = await daemon.said("the store cannot be used now")
            assert waits is not None
            assert "the disk is full" in waits["reason"]
            small_disk.make_room()
            is_sent(await daemon.result("job"))
        assert taken(server.heard) == 1


async def test_a_start_on_a_full_disk_is_no_mistake_of_the_settings(
    small_disk: SmallDisk,
) -> None:
    async with ScriptedServer() as server:
        config = settings(small_disk.folder, server.port)
        async with running(small_disk.folder, config) as daemon:
            daemon.drop("job.yaml", JOB.format(LARGE) + "send_at: 2099-01-01T00:00:00Z\n")
            assert await daemon.said("job accepted")
        small_disk.fill()
        # Its supervisor is to try again: it never does after 78 (asyncnet.service).
        turned_away = await start(small_disk.folder, config)
        assert await turned_away.wait() == exit_codes.UNAVAILABLE, turned_away.errors
        assert "the disk is full" in "".join(turned_away.errors)
        small_disk.make_room()
        async with running(small_disk.folder, config):
            pass


MANY, LARGEST = 20, 150_000  # octets of each; all have room on the disk without the ballast


def refused_for_room(daemon: DaemonProcess) -> list[str]:
    waits = [it["reason"] for it in daemon.log if it["event"] == "intake waits"]
    assert len(waits) == len(set(waits)), "a reason is told once, however many jobs wait"
    return waits


async def test_many_jobs_that_wait_for_room_say_it_once_and_all_go_in_the_end(
    small_disk: SmallDisk, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.bin"
    photo.write_bytes(os.urandom(LARGEST))
    job = JOB.format(SMALL) + f"attachments: {photo}\n"
    async with ScriptedServer() as server:
        config = settings(small_disk.folder, server.port)
        config = config.replace("attachment_roots = [", f'attachment_roots = ["{tmp_path}", ')
        async with running(small_disk.folder, config) as daemon:
            (small_disk.folder / "ballast").write_bytes(bytes(7_000_000))
            late = "send_at: 2099-01-01T00:00:00Z\n"  # keeps what room there is
            for number in range(3):
                daemon.drop(f"late-{number}.yaml", job + late)
            for number in range(MANY):
                daemon.drop(f"job-{number}.yaml", job)
            assert await daemon.said("intake waits")
            await asyncio.sleep(3)  # of trying again
            assert 1 <= len(refused_for_room(daemon)) <= 2
            small_disk.make_room()
            for number in range(MANY):
                is_sent(await daemon.result(f"job-{number}"))
            assert await daemon.said("intake goes on")
            refused_for_room(daemon)
        assert taken(server.heard) == MANY


# Folders that may not be written.

# Of all that root may do, to write where it is forbidden is what must go.
AS_ANYBODY = ("setpriv", "--inh-caps=-all", "--bounding-set=-all") if os.geteuid() == 0 else ()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pickup", "a job cannot be moved"),
        ("queue", "a job cannot be moved"),
        ("sent", "reporter waits"),
    ],
)
async def test_a_folder_that_may_not_be_written_is_waited_for(
    tmp_path: Path, name: str, told: str
) -> None:
    async with ScriptedServer() as server:
        config = settings(tmp_path, server.port, spool='grace = "1s"')
        async with running(tmp_path, config, through=AS_ANYBODY) as daemon:
            aside = daemon.spool / "pickup" / ".job"
            aside.write_text(JOB.format(SMALL))
            aside.rename(aside.with_name("job.part"))
            folder = daemon.spool / name
            if name == "pickup":
                aside.with_name("job.part").rename(aside.with_name("job.yaml"))
            folder.chmod(0o500)
            if name != "pickup":
                aside.with_name("job.part").rename(aside.with_name("job.yaml"))
            waits = await daemon.said(told)
            assert waits is not None
            assert "Permission denied" in waits["reason"]
            folder.chmod(0o700)
            is_sent(await daemon.result("job"))
        assert taken(server.heard) == 1


async def test_a_folder_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        async with running(tmp_path, settings(tmp_path, server.port)) as daemon:
            queue = daemon.spool / "queue"
            queue.rename(daemon.spool / "away")
            daemon.drop("job.yaml", JOB.format(SMALL))
            assert await daemon.said("intake waits", reason=f"{queue} is gone")
            (daemon.spool / "away").rename(queue)
            is_sent(await daemon.result("job"))
        assert taken(server.heard) == 1


@pytest.mark.parametrize(("name", "text"), [("sent", "250"), ("failed", "550 5.1.1 no")])
async def test_a_folder_for_results_that_is_gone_is_waited_for(
    tmp_path: Path, name: str, text: str
) -> None:
    refusal = f"{text}\r\n".encode() if name == "failed" else None
    async with ScriptedServer(refuse=once(lambda: refusal)) as server:
        async with running(tmp_path, settings(tmp_path, server.port)) as daemon:
            folder = daemon.spool / name
            folder.rename(daemon.spool / "away")
            daemon.drop("job.yaml", JOB.format(SMALL))
            assert await daemon.said("reporter waits", reason=f"{folder} is gone")
            if name == "failed":  # what has nothing there goes on meanwhile
                daemon.drop("other.yaml", JOB.format(SMALL))
                assert await daemon.said("job reported", name="other", status="sent")
            (daemon.spool / "away").rename(folder)
            assert (await daemon.result("job"))["status"] == name
            assert await daemon.said("reporter goes on")
            assert await daemon.terminate() == exit_codes.OK


# No descriptors.


# The standard streams are all that may be opened anew: what is open stays so, and nothing that a
# daemon just closes becomes free for the next.
NO_DESCRIPTORS = 3


def limit_descriptors(process: int, most: int) -> int:
    """Set how many a process may have open; returns how many it might before."""
    before, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (most, hard))
    return before


async def page(daemon: DaemonProcess) -> bytes:
    reader, writer = await asyncio.open_connection(*daemon.http)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_daemon_without_descriptors_waits_for_them(tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        async with running(tmp_path, settings(tmp_path, server.port)) as daemon:
            process = daemon.process.pid
            before = limit_descriptors(process, NO_DESCRIPTORS)
            visit = asyncio.create_task(page(daemon))
            daemon.drop("job.yaml", JOB.format(LARGE))
            assert await daemon.said("intake waits", reason="Too many open files")
            limit_descriptors(process, before)
            is_sent(await daemon.result("job"))
            assert await daemon.said("intake goes on")
            # Who came meanwhile is answered or turned away; who comes now is answered.
            await asyncio.wait([visit], timeout=10)
            assert visit.done()
            visit.exception()
            assert (await page(daemon)).startswith(b"HTTP/1.1 200 ")
        assert taken(server.heard) == 1


async def test_a_mail_under_way_waits_for_descriptors_and_no_attempt_is_used_up(
    tmp_path: Path,
) -> None:
    limits: list[int] = []

    def take_them() -> bytes:
        limits.append(limit_descriptors(process, NO_DESCRIPTORS))
        return b"451 4.2.0 later\r\n"

    async with ScriptedServer(refuse=once(take_them)) as server:
        config = settings(tmp_path, server.port, queue='retry = ["0s", "100ms"]')
        async with running(tmp_path, config) as daemon:
            process = daemon.process.pid
            daemon.drop("job.yaml", JOB.format(LARGE))
            assert await daemon.said("the store cannot be used now")
            limit_descriptors(process, *limits)
            result = await daemon.result("job")
            is_sent(result)
            assert result["attempts"] == 2, "the first, put off by the server, and the last"
        assert taken(server.heard) == 1


# Files that vanish.


async def test_files_that_vanish_from_the_queue_stop_no_other_job(tmp_path: Path) -> None:
    queue = tmp_path / "spool" / "queue"

    def lose() -> bytes:
        for path in queue.iterdir():
            path.unlink()
        return b"451 4.2.0 later\r\n"

    async with ScriptedServer(refuse=once(lose)) as server:
        config = settings(tmp_path, server.port, queue='retry = ["0s", "100ms"]')
        async with running(tmp_path, config) as daemon:
            daemon.drop("lost.yaml", JOB.format(LARGE))
            lost = await daemon.result("lost")
            daemon.drop("other.yaml", JOB.format(LARGE))
            is_sent(await daemon.result("other"))
        assert lost["status"] == "failed"
        assert "is gone" in lost["recipients"][0]["text"]
        assert not list(queue.iterdir())


async def test_a_job_whose_file_vanishes_from_the_queue_is_sent_all_the_same(
    tmp_path: Path,
) -> None:
    queue = tmp_path / "spool" / "queue"

    def lose() -> None:
        for path in queue.glob("*.yaml"):
            path.unlink()

    async with ScriptedServer(refuse=once(lose)) as server:
        async with running(tmp_path, settings(tmp_path, server.port)) as daemon:
            daemon.drop("job.yaml", JOB.format(LARGE))
            is_sent(await daemon.result("job"))
        assert taken(server.heard) == 1


async def test_jobs_taken_back_at_any_moment_are_sent_wholly_or_not_at_all(tmp_path: Path) -> None:
    names = [f"job-{number}" for number in range(60)]
    async with ScriptedServer() as server:
        async with running(tmp_path, settings(tmp_path, server.port)) as daemon:
            kept = []
            for name in names:
                daemon.drop(f"{name}.yaml", JOB.format(SMALL))
                await asyncio.sleep(0)
                try:
                    (daemon.spool / "pickup" / f"{name}.yaml").unlink()
                except FileNotFoundError:
                    kept.append(name)
            daemon.drop("last.yaml", JOB.format(SMALL))
            for name in (*kept, "last"):
                is_sent(await daemon.result(name))
        assert taken(server.heard) == len(kept) + 1
        assert len(list((tmp_path / "spool" / "sent").glob("*.result.json"))) == len(kept) + 1


# A server that is cut off.


async def test_mail_for_a_server_that_is_cut_off_waits_and_goes_on_by_itself(
    tmp_path: Path,
) -> None:
    async with ScriptedServer() as server, CuttingProxy(server.port).running() as proxy:
        proxy.die()
        async with running(tmp_path, settings(tmp_path, proxy.port)) as daemon:
            daemon.drop("job.yaml", JOB.format(SMALL))
            waits = await daemon.said("account waits", account="local")
            assert waits is not None
            assert waits["reason"]
            proxy.revive()
            is_sent(await daemon.result("job", timeout_s=30.0))
            assert await daemon.said("account works again")
        assert taken(server.heard) == 1


# A clock that jumps.

DAY_S = 86_400


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    try:
        return FakeClock(tmp_path)
    except NoFakeClock as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"LEFT OUT: {error}")


def processor_ticks(process: int) -> int:
    """User and system time of a process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def comes_to_rest(process: int) -> bool:
    """Whether there is a second in which it hardly runs: there is none where it runs in circles."""
    for _ in range(10):
        before = processor_ticks(process)
        await asyncio.sleep(1)
        if processor_ticks(process) - before < os.sysconf("SC_CLK_TCK") / 4:
            return True
    return False


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["forward", "back"])
async def test_a_clock_that_jumps_delays_no_mail_and_expires_none(
    tmp_path: Path, clock: FakeClock, jump_s: int
) -> None:
    async with ScriptedServer(refuse=once(lambda: b"451 4.2.0 later\r\n")) as server:
        # The retry comes when the process has seen the jump; it has 2 days for it.
        queue = f'retry = ["0s", "{3 * LOOK_S}s"]\njitter = 0.0'
        config = settings(tmp_path, server.port, queue=queue)
        async with running(tmp_path, config, environment=clock.environment) as daemon:
            daemon.drop("waits.yaml", JOB.format(SMALL))
            assert await daemon.said("attempt", status="deferred=1")
            clock.put(jump_s)
            if jump_s < 0:
                assert await daemon.said("the clock was put back", by_s=DAY_S)
            is_sent(await daemon.result("waits"))
            daemon.drop("new.yaml", JOB.format(SMALL))
            is_sent(await daemon.result("new"))
            assert await comes_to_rest(daemon.process.pid)
        assert taken(server.heard) == 2
