"""The real daemon in a process that SIGKILLs itself at one step of a job's life.

    python -m tests.support.dying_daemon STEP --config FILE

Every step of the crash story has a name here; STEPS tells what lies on the disk at that moment.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from asyncnet.cli import logs
from asyncnet.cli.serve import loop_factory, serve
from asyncnet.config import Settings, load
from asyncnet.mail.letter import Content
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Acceptance, Lease, NewMessage, Settlement
from asyncnet.supervisor import Daemon

STEPS = {
    "companions claimed": "the envelope file is in queue/, the ready message still in pickup/",
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


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingStore(SqliteStore):
    """The store, with death before or after what it does."""

    step = ""

    async def accept(self, message: NewMessage, content: Content, now: float) -> Acceptance:
        accepted = await super().accept(message, content, now)
        self._reach("accepted")
        return accepted

    async def lease(
        self, now: float, limit: int, passing_over: Collection[str] = ()
    ) -> list[Lease]:
        leases = await super().lease(now, limit, passing_over)
        if leases:
            self._reach("leased")
        return leases

    async def mark_dot(self, lease: Lease) -> None:
        self._reach("before the mark")
        await super().mark_dot(lease)
        self._reach("dot marked")

    async def settle(self, lease: Lease, settlement: Settlement, now: float) -> None:
        self._reach("answered")
        await super().settle(lease, settlement, now)
        self._reach("settled")

    async def mark_reported(self, queue_ids: Iterable[str]) -> None:
        await super().mark_reported(queue_ids)
        self._reach("reported")

    def _reach(self, step: str) -> None:
        if step == self.step:
            die()


def main() -> None:
    step, config = sys.argv[1], Path(sys.argv[3])
    assert step in STEPS
    settings = load(config)
    logs.configure(settings.log)

    def make_store(settings: Settings) -> SqliteStore:
        store = DyingStore(
            settings.database,
            settings.spool.dir / "queue",
            dedup_window_s=settings.queue.dedup_window,
        )
        store.step = step
        return store

    def on_step(reached: str) -> None:
        if reached == step:
            die()

    daemon = Daemon(settings, make_store=make_store, on_step=on_step)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        sys.exit(runner.run(serve(daemon, lambda: load(config))))


if __name__ == "__main__":
    main()
