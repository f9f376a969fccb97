"""`make storm-machines`: three daemons on one PostgreSQL, killed, stopped and cut off at random.

    python -m tests.storm.machines [--blows N] [--jobs N] [--seed N]

Each daemon has a spool and a line to the database of its own; the server of the mails misbehaves,
too.  A blow is one of these: a daemon is SIGKILLed; it is stopped, perhaps beyond its lease, and
goes on; its line is cut, or dead for a while; every session of the database is ended; the database
is restarted, or crashes.  Who ended is started again.

Afterwards every job has one result, filed by the machine that took it in, every accepted mail is
at the server, who got one twice is marked so, and nothing is left in a spool or in the database.
Ends with 1, and the seed, where that is not so; what the machines said and the database held then
is in build/storm-machines-SEED.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from tests.storm.kill import JOB, QUEUE, copies, faults, marked, results, server
from tests.support.cutting_proxy import CuttingProxy
from tests.support.daemon import REPOSITORY, DaemonProcess, config_text, start
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.smtp_server import ScriptedServer, Slow

TERM_S = 1.5  # of a lease
LONGEST_STOP_S = 2 * TERM_S
ANSWER_S = 0.04  # the server's, to a content: so there is always mail that nobody knows of yet
LONGEST_LULL_S = 1.5
LONGEST_SILENCE_S = 15.0  # after the storm, while no account waits: a database may be timed out
LONGEST_CALM_S = 180.0  # until all is reported
EVIDENCE = REPOSITORY / "build"
# By the store's promise: 75, its server failed us; 69, it was away at the start; -9, by our hand.
GOOD_ENDS = {0, 69, 75, -signal.SIGKILL}
# Content in one row, in a few that go out in one piece, and streamed.
ATTACHMENTS = {"small.bin": 20_000, "large.bin": 500_000}


class Machine:
    """A daemon that is started again whenever it ends, until it is over with it."""

    def __init__(self, name: str, folder: Path, config: str, line: CuttingProxy) -> None:
        self.name = name
        self.spool = folder / "spool"
        self.line = line
        self.dropped: list[str] = []
        self.ends: Counter[int] = Counter()
        self.told: list[str] = []  # what was said that is no log: tracebacks
        self.log: list[dict[str, Any]] = []  # of all its daemons
        self._folder = folder
        self._config = config
        self._daemon: DaemonProcess | None = None
        self._over = False
        self.spool.joinpath("pickup").mkdir(parents=True)
        for attachment, octets in ATTACHMENTS.items():
            (folder / attachment).write_bytes(os.urandom(octets))

    async def keep_up(self) -> None:
        while not self._over:
            daemon = self._daemon = await start(
                self._folder,
                self._config,
                argv=("-m", "tests.storm.machine", str(TERM_S)),
                environment={"PYTHONPATH": str(REPOSITORY)},
            )
            code = await daemon.process.wait()
            await daemon.wait()
            self.ends[code] += 1
            self.log += [*daemon.log, {"event": "ended", "code": code}]
            self.told += _unexpected(daemon.errors, code)
            self.told += [str(it) for it in daemon.log if it.get("exception")]
            if code not in GOOD_ENDS:
                return
            if code in (69, 75):
                await asyncio.sleep(0.2)  # as a supervisor does

    def drop(self, name: str, attachment: str | None) -> None:
        text = JOB.format(name) + (f"attachments: [{attachment}]\n" if attachment else "")
        aside = self.spool / "pickup" / f".{name}.yaml"
        aside.write_text(text, encoding="utf-8")
        self.dropped.append(name)
        aside.rename(aside.with_name(f"{name}.yaml"))

    def signal(self, number: signal.Signals) -> None:
        process = self._daemon and self._daemon.process
        if process and process.returncode is None:
            # Not by the process's own method, which would take its exit code away.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def give_up(self) -> None:
        self._over = True
        self.signal(signal.SIGKILL)

    async def end(self) -> None:
        """In order, once it is up; it is not started again."""
        self._over = True
        if self._daemon is not None and await self._daemon.wait_ready():
            self.signal(signal.SIGTERM)


def _unexpected(errors: Sequence[str], code: int) -> Sequence[str]:
    """What a daemon said outside of its log, but for why a start did not come to be."""
    if code in (69, 75):
        return ()
    if code == -signal.SIGKILL:  # perhaps on its way out, when that was said already
        return [it for it in errors if not it.startswith("asyncnet: ")]
    return errors


class Storm:
    """The blows, one after the other; some last while the next ones fall."""

    def __init__(
        self,
        machines: list[Machine],
        database: PostgresServer,
        peer: ScriptedServer,
        chance: random.Random,
    ) -> None:
        self.blown: Counter[str] = Counter()
        self._machines = machines
        self._database = database
        self._heard = peer.heard
        self._chance = chance
        self._lasting: set[asyncio.Task[None]] = set()
        self._kinds = {
            "killed": self._kill,
            "stopped": self._stop,
            "line cut": self._cut,
            "line dead": self._line_dead,
            "sessions ended": self._end_sessions,
            "database restarted": self._restart,
        }

    async def run(self, blows: int, jobs: int) -> None:
        """Drop the jobs meanwhile, into one pickup folder or another."""
        names = [f"job-{number}" for number in range(jobs)]
        for number in range(blows):
            share = -(-len(names) // (blows - number))
            for name in names[:share]:
                attachment = self._chance.choice([None, None, None, *ATTACHMENTS])
                self._chance.choice(self._machines).drop(name, attachment)
            del names[:share]
            await self._lull()
            kind = self._chance.choices(list(self._kinds), weights=[6, 6, 4, 4, 2, 2])[0]
            self.blown[kind] += 1
            task = asyncio.create_task(self._kinds[kind](self._chance.choice(self._machines)))
            self._lasting.add(task)
            task.add_done_callback(self._lasting.discard)
            if kind in ("sessions ended", "database restarted"):
                await task  # they need the server, and there is one
        await asyncio.gather(*self._lasting)

    async def _lull(self) -> None:
        """Some time, mostly until a content has come that is not answered yet."""
        until = time.monotonic() + self._chance.uniform(0.0, LONGEST_LULL_S)
        before = len(self._heard.contents)
        while time.monotonic() < until:
            await asyncio.sleep(ANSWER_S / 8)
            if len(self._heard.contents) > before:
                return

    async def _kill(self, machine: Machine) -> None:
        machine.signal(signal.SIGKILL)

    async def _stop(self, machine: Machine) -> None:
        machine.signal(signal.SIGSTOP)
        await asyncio.sleep(self._chance.uniform(0.0, LONGEST_STOP_S))
        machine.signal(signal.SIGCONT)

    async def _cut(self, machine: Machine) -> None:
        machine.line.cut_at(self._chance.choice(["request", "answer"]), self._chance.randint(1, 9))

    async def _line_dead(self, machine: Machine) -> None:
        machine.line.die()
        await asyncio.sleep(self._chance.uniform(0.0, LONGEST_STOP_S))
        machine.line.revive()

    async def _end_sessions(self, _: Machine) -> None:
        await self._database.cut_connections()

    async def _restart(self, _: Machine) -> None:
        how = self._chance.choice([signal.SIGINT, signal.SIGQUIT])
        await asyncio.to_thread(self._database.stop, how)
        await asyncio.sleep(self._chance.uniform(0.0, TERM_S))
        await asyncio.to_thread(self._database.start)


@contextlib.asynccontextmanager
async def machines_on(
    database: PostgresServer, url: str, folder: Path, port: int
) -> AsyncIterator[list[Machine]]:
    """Three of them, that are kept up; they are ended in order at the end."""
    found = []
    async with contextlib.AsyncExitStack() as stack:
        for name in ("one", "two", "three"):
            line = await stack.enter_async_context(CuttingProxy(database.port).running())
            (folder / name).mkdir()
            own_url = url.replace(str(database.port), str(line.port))
            queue = f'{QUEUE}url = "{own_url}"\n'
            config = config_text(folder / name, port, queue)
            found.append(Machine(name, folder / name, config, line))
        keeping = [asyncio.create_task(machine.keep_up()) for machine in found]
        try:
            yield found
            await asyncio.gather(*(machine.end() for machine in found))
        except BaseException:
            for machine in found:
                machine.give_up()
            raise
        finally:
            await asyncio.gather(*keeping)


async def _all_reported(machines: list[Machine], database: PostgresServer, url: str) -> None:
    """Return when they are, or when nothing more is, although no account waits."""
    jobs = sum(len(machine.dropped) for machine in machines)
    last, begun = -1, time.monotonic()
    at = begun
    while last < jobs and time.monotonic() - begun < LONGEST_CALM_S:
        await asyncio.sleep(0.2)
        reported = sum(len(results(machine.spool)) for machine in machines)
        if reported != last:
            last, at = reported, time.monotonic()
        elif time.monotonic() - at >= LONGEST_SILENCE_S:
            ((waits_until,),) = await database.fetch("SELECT max(until) FROM account_state", url)
            if waits_until is None or waits_until < time.time() - LONGEST_SILENCE_S:
                return


async def _keep_evidence(
    folder: Path, machines: list[Machine], database: PostgresServer, url: str
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for machine in machines:
        lines = "".join(json.dumps(entry) + "\n" for entry in machine.log)
        (folder / f"{machine.name}.log").write_text(lines, encoding="utf-8")
    told = []
    for rows in (
        "job WHERE stage <> 'finished' OR NOT reported",
        "recipient WHERE job IN (SELECT id FROM job WHERE stage <> 'finished' OR NOT reported)",
        "holder",
        "account_state",
    ):
        found = await database.fetch(f"SELECT * FROM {rows}", url)
        told += [f"{rows.partition(' ')[0]}: {dict(row)}\n" for row in found]
    (folder / "database").write_text("".join(told), encoding="utf-8")


async def _left_in(database: PostgresServer, url: str) -> list[str]:
    """What should not be in the database any more."""
    told = []
    for what, rows in {
        "jobs that are not over": "job WHERE stage <> 'finished' OR NOT reported",
        "contents": "content",
        "holders": "holder WHERE until > '-infinity'",
    }.items():
        ((count,),) = await database.fetch(f"SELECT count(*) FROM {rows}", url)
        told += [f"{count} {what} left in the database"] if count else []
    return told


async def blow(blows: int, jobs: int, seed: int, database: PostgresServer) -> list[str]:
    """What is not as promised, after that many blows."""
    chance = random.Random(seed)
    begun = time.monotonic()
    url = await database.new_schema()
    with tempfile.TemporaryDirectory(prefix="asyncnet-storm-") as name:
        async with server(chance, jobs, Slow(ANSWER_S)) as peer:
            async with machines_on(database, url, Path(name), peer.port) as machines:
                storm = Storm(machines, database, peer, chance)
                await storm.run(blows, jobs)
                for machine in machines:
                    machine.line.disarm()
                await _all_reported(machines, database, url)
            told: list[str] = []
            arrived = copies(peer.heard.deliveries)
            doubtful = 0
            for machine in machines:
                found = faults(machine.spool, machine.dropped, arrived)
                found += [f"it ended with {code}" for code in machine.ends.keys() - GOOD_ENDS]
                told += [f"{machine.name}: {it}" for it in (*found, *machine.told)]
                doubtful += marked(results(machine.spool).values())
            taken = sum(it.taken for it in peer.heard.deliveries)
    told = told or await _left_in(database, url)
    if told:
        await _keep_evidence(EVIDENCE / f"storm-machines-{seed}", machines, database, url)
    ends = sum((machine.ends for machine in machines), Counter[int]())
    print(
        f"seed {seed}: {', '.join(f'{kind} {count}' for kind, count in storm.blown.items())};"
        f" ends {dict(sorted(ends.items()))}; {jobs} jobs, {taken} transactions taken,"
        f" {doubtful} jobs marked as possible duplicates, {time.monotonic() - begun:.0f} s"
    )
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blows", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with running_postgres() as database:
        told = asyncio.run(blow(options.blows, options.jobs, options.seed, database))
    for fault in told[:50]:
        print(f"*** {fault}")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
