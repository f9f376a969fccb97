"""The real daemon in a process that SIGKILLs itself at one step of a job's life.

    python -m tests.support.dying_daemon STEP [--passing N] --config FILE

Every step of the crash story has a name here; STEPS tells what lies on the disk at that moment.
With --passing it dies the next time only: so it can do a job well first.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from asyncnet.cli import logs
from asyncnet.cli.serve import loop_factory, serve
from asyncnet.config.file import load
from asyncnet.config.sections import Settings
from asyncnet.mail.letter import Content
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Acceptance, Lease, NewMessage, Settlement
from asyncnet.providers.builtin import catalogue
from asyncnet.supervisor import Daemon

STEPS = {
    "companions claimed": "envelope file and earlier result are in queue/, the job in pickup/",
    "claimed": "the file is in queue/, no row",
    "composed": "the message is made, nothing of it is kept",
    "accepted": "the row is committed",
    "leased": "the lease is committed, nothing was sent",
    "before the mark": "the envelope is on its way, no dot mark",
    "dot marked": "the mark is committed, the end of the content was not sent",
    "answered": "the server took the mail, its verdict is not committed",
    "settled": "the verdict is committed, no result",
    "result written": "the result lies in its folder, the job is still in queue/",
    "job moved": "job and result are filed, the row is not marked reported",
    "reported": "all is done",
}


def dying_at(step: str, passing: int) -> Callable[[str], None]:
    """What is told of each step reached, and survives all but one."""
    left = [passing]

    def reach(reached: str) -> None:
        if reached == step:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

    return reach


class DyingStore(SqliteStore):
    """The store, with death before or after what it does."""

    reach: Callable[[str], None]
    TOLD = ("accepted", "reported")  # by the services, too, a moment later

    async def accept(self, message: NewMessage, content: Content, now: float) -> Acceptance:
        accepted = await super().accept(message, content, now)
        self.reach("accepted")
        return accepted

    async def lease(
        self, now: float, limit: int, passing_over: Collection[str] = ()
    ) -> list[Lease]:
        leases = await super().lease(now, limit, passing_over)
        if leases:
            self.reach("leased")
        return leases

    async def mark_dot(self, lease: Lease) -> None:
        self.reach("before the mark")
        await super().mark_dot(lease)
        self.reach("dot marked")

    async def settle(self, lease: Lease, settlement: Settlement, now: float) -> None:
        self.reach("answered")
        await super().settle(lease, settlement, now)
        self.reach("settled")

    async def mark_reported(self, queue_ids: Iterable[str]) -> None:
        await super().mark_reported(queue_ids)
        self.reach("reported")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--passing", type=int, default=0)
    parser.add_argument("--config", type=Path, required=True)
    given = parser.parse_args()
    config: Path = given.config
    reach = dying_at(given.step, given.passing)
    settings = load(config)
    logs.configure(settings.log)

    def make_store(settings: Settings) -> SqliteStore:
        store = DyingStore(
            settings.database,
            settings.spool.dir / "queue",
            dedup_window_s=settings.queue.dedup_window,
        )
        store.reach = reach
        return store

    def on_step(reached: str) -> None:
        if reached not in DyingStore.TOLD:
            reach(reached)

    daemon = Daemon(settings, make_store=make_store, on_step=on_step)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        sys.exit(runner.run(serve(daemon, lambda: (load(config), catalogue()))))


if __name__ == "__main__":
    main()
