"""The real daemon on a PostgreSQL queue, its leases as short as a storm is.

python -m tests.storm.machine TERM_S --config FILE
"""

import asyncio
import sys
from pathlib import Path

from asyncnet.cli import logs
from asyncnet.cli.serve import loop_factory, serve
from asyncnet.config.file import load
from asyncnet.config.sections import Settings
from asyncnet.mailqueue.owner import owner_of
from asyncnet.mailqueue.postgres import PostgresStore
from asyncnet.providers.builtin import catalogue
from asyncnet.supervisor import Daemon


def main(term_s: str, _: str, config: str) -> int:
    settings = load(Path(config))
    logs.configure(settings.log)

    def make_store(settings: Settings) -> PostgresStore:
        assert settings.queue.server is not None
        return PostgresStore(
            settings.queue.server,
            owner_of(settings.spool.dir),
            dedup_window_s=settings.queue.dedup_window,
            lease_term_s=float(term_s),
        )

    daemon = Daemon(settings, make_store=make_store)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(serve(daemon, lambda: (load(Path(config)), catalogue())))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
