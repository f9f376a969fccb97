"""`make storm`: the real daemon under load, killed at random, with a server that misbehaves.

    python -m tests.storm.kill [--kills N] [--jobs N] [--seed N]

Afterwards every job has one result, every accepted mail is at the server, nothing lies in pickup/
or queue/, and who got a mail twice is marked so.  Ends with 1, and the seed, where that is not so.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.daemon import DaemonProcess, config_text, start
from tests.support.smtp_server import (
    CAPABILITIES,
    Deed,
    Delivery,
    HangUp,
    Reset,
    Say,
    ScriptedServer,
)

JOB = "from: ada@example.org\nto: [ok@example.com, also@example.com]\nsubject: {}\ntext: y\n"
# Content in the row, in a file that is written together with others, and in one of its own.
TEXTS = ("y", "y", "y", "word " * 6_000 + "y", "word " * 50_000 + "y")
# An attempt soon after the last one, so that a storm ends; accounts that waited are released.
QUEUE = '[queue]\nretry = ["0s", "100ms"]\n'
OK = b"250 2.0.0 queued as 4F2\r\n"
MISDEEDS: tuple[Deed, ...] = (
    HangUp(),  # the answer is lost: was it taken?
    HangUp(OK),
    HangUp(b"421 4.3.2 bye\r\n"),
    Reset(),
    Say(b"451 4.3.0 later\r\n"),
)
LONGEST_LIFE_S = 0.6
PATIENCE_S = 300.0

Copies = Counter[tuple[str, str]]  # by Message-ID field and recipient


def deeds(chance: random.Random, count: int, share: float, usual: Deed | None) -> list[Deed | None]:
    """A script for count turns of a verb, in which about share of them go wrong."""
    turns = (chance.choice(MISDEEDS) if chance.random() < share else usual for _ in range(count))
    return [*turns, None]


def server(chance: random.Random, jobs: int, at_the_end: Deed | None = None) -> ScriptedServer:
    """A server that misbehaves; at_the_end is what it does at the end of most contents."""
    verbs = {"BDAT": 0.05, "content": 0.05, "MAIL": 0.01, "RCPT": 0.01}
    script = {
        verb: deeds(chance, 3 * jobs, share, at_the_end if share > 0.01 else None)
        for verb, share in verbs.items()
    }
    return ScriptedServer(script, capabilities=(*CAPABILITIES, "CHUNKING"))


def results(spool: Path) -> dict[str, dict[str, Any]]:
    """All results that are filed, by their job's name."""
    found = {}
    for folder in ("sent", "failed"):
        for path in (spool / folder).glob("*.result.json"):
            found[path.name.removesuffix(".result.json")] = json.loads(path.read_text())
    return found


def copies(deliveries: Iterable[Delivery]) -> Copies:
    """How often each message was taken for each recipient."""
    return Counter(
        (line.decode(), recipient)
        for it in deliveries
        for line in it.content.split(b"\r\n")
        if it.taken and line.startswith(b"Message-ID:")
        for recipient in it.recipients
    )


def faults(spool: Path, names: Iterable[str], arrived: Copies) -> list[str]:
    """What is not as promised with the jobs that were dropped into a spool."""
    found, told = results(spool), []
    for name in names:
        result = found.pop(name, None)
        if result is None or result["status"] != "sent":
            told.append(f"{name}: {result and result['status']}")
            continue
        for it in result["recipients"]:
            times = arrived[f"Message-ID: {result['message_id']}", it["address"]]
            if times < 1 or (times > 1 and not it["possible_duplicate"]):
                told.append(f"{name}: {times} times to {it['address']}, and {it}")
    told += [f"a result of what was not dropped here: {name}" for name in found]
    for folder in ("pickup", "queue"):
        told += [f"left in {folder}/: {path.name}" for path in (spool / folder).iterdir()]
    return told


def marked(found: Iterable[dict[str, Any]]) -> int:
    """How many results name a possible duplicate."""
    return sum(any(it["possible_duplicate"] for it in result["recipients"]) for result in found)


class Storm:
    """One storm in a folder of its own."""

    def __init__(self, folder: Path, kills: int, jobs: int, chance: random.Random) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.names = [f"job-{number}" for number in range(jobs)]
        self._kills = kills
        self._chance = chance

    async def run(self, config: str) -> None:
        """Drop the jobs while the daemon is killed and started again; then let it finish."""
        waiting = list(self.names)
        share = -(-len(waiting) // (self._kills + 1))
        for number in range(self._kills + 1):
            daemon = await self._start(config)
            for _ in range(min(share, len(waiting))):
                name = waiting.pop()
                text = self._chance.choice(TEXTS)
                daemon.drop(f"{name}.yaml", JOB.format(name).replace("text: y", f"text: {text}"))
            if number < self._kills:
                # At no moment that anything could be made to fit.
                await asyncio.sleep(self._chance.uniform(0.0, LONGEST_LIFE_S))
                await daemon.kill()
        async with asyncio.timeout(PATIENCE_S):
            while len(results(self.spool)) < len(self.names):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.2)
        code = await daemon.terminate()
        assert code == 0, f"the daemon ended with {code}"

    async def _start(self, config: str) -> DaemonProcess:
        daemon = await start(self.folder, config)
        assert await daemon.wait_ready(), daemon.errors
        return daemon

    def faults(self, deliveries: Iterable[Delivery]) -> list[str]:
        """What is not as promised."""
        return faults(self.spool, self.names, copies(deliveries))


async def blow(kills: int, jobs: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="asyncnet-storm-") as name:
        async with server(chance, jobs) as peer:
            storm = Storm(Path(name), kills, jobs, chance)
            storm.spool.joinpath("pickup").mkdir(parents=True)
            begun = time.monotonic()
            await storm.run(config_text(storm.folder, peer.port, QUEUE))
            taken = sum(it.taken for it in peer.heard.deliveries)
            doubtful = marked(results(storm.spool).values())
            print(
                f"seed {seed}: {kills} kills, {jobs} jobs, {taken} transactions taken,"
                f" {doubtful} jobs marked as possible duplicates, {time.monotonic() - begun:.0f} s"
            )
            return storm.faults(peer.heard.deliveries)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    faults = asyncio.run(blow(options.kills, options.jobs, options.seed))
    for fault in faults[:50]:
        print(f"*** {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
