"""A listener in a process of its own, for tests that need all descriptors on both sides.

`python -m tests.web.alone LOOP` says its port, serves until its input ends, and says the total.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from asyncnet.config.sections import HttpSettings
from asyncnet.web.listener import HttpListener
from tests.web.serving import ANY_PORT, LOOPS

PATIENCE_S = 60


@dataclass
class Alone:
    """The process; total is known when it has ended."""

    port: int
    pid: int
    total: int = 0


@contextlib.contextmanager
def listener_alone(loop_name: str) -> Iterator[Alone]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.web.alone", loop_name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    alone = Alone(int(process.stdout.readline()), process.pid)
    try:
        yield alone
        said, _ = process.communicate(timeout=PATIENCE_S)
        alone.total = int(said)
    finally:
        process.kill()
        process.communicate()


async def _serve() -> None:
    # More than the tests open, and patience for a machine that others use, too.
    settings = {"listen": (ANY_PORT,), "max_connections": 15_000, "head_timeout": "10m"}
    listener = HttpListener(HttpSettings.model_validate(settings))
    await listener.start()
    print(listener.endpoints[0].port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await listener.stop(PATIENCE_S)
    print(listener.counter.total)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=LOOPS[sys.argv[1]]) as runner:
        runner.run(_serve())
