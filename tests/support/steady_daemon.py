"""The real daemon with one worker thread in place of several, and a name for each of its threads.

    python -m tests.support.steady_daemon --config FILE

One job's life is then the same row of system calls in the same threads each time, so that "the
third openat of the worker" means something.
"""

import argparse
import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from asyncnet.cli import logs
from asyncnet.cli.serve import loop_factory, serve
from asyncnet.config.file import load
from asyncnet.providers.builtin import catalogue
from asyncnet.supervisor import Daemon

WORKER, FILES = "worker", "job-files"
WRITER, READER = "mailqueue-write", "mailqueue-reade"  # 15 octets, proc(5)


_named = {threading.main_thread()}


def name_threads(_: str) -> None:
    """Let the system know new ones by the names that Python gave them."""
    for thread in {*threading.enumerate()} - _named:
        Path(f"/proc/self/task/{thread.native_id}/comm").write_text(thread.name[:15])
        _named.add(thread)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    config: Path = parser.parse_args().config
    settings = load(config)
    logs.configure(settings.log)
    daemon = Daemon(settings, on_step=name_threads)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.get_loop().set_default_executor(ThreadPoolExecutor(1, WORKER))
        sys.exit(runner.run(serve(daemon, lambda: (load(config), catalogue()))))


if __name__ == "__main__":
    main()
