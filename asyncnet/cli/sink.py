"""`asyncnet sink`: the test sink alone, until Ctrl-C."""

import asyncio
import signal
import sys
from pathlib import Path

from asyncnet.cli import exit_codes
from asyncnet.cli.serve import loop_factory
from asyncnet.config.values import Endpoint, parse_endpoint


def run(listen: str, maildir: Path) -> int:
    """Keep all mail that comes to listen in maildir."""
    try:
        endpoint = parse_endpoint(listen, default_port=1025)
    except ValueError as error:
        print(f"asyncnet: --listen: {error}", file=sys.stderr)
        return exit_codes.USAGE
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(endpoint, maildir))


async def _serve(endpoint: Endpoint, maildir: Path) -> int:
    try:
        from asyncnet.lab.sink import Sink
    except ModuleNotFoundError as error:
        print(
            f"asyncnet: the test sink needs {error.name}: pip install 'asyncnet[sink]'",
            file=sys.stderr,
        )
        return exit_codes.CONFIG
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    test_sink = Sink((endpoint,), maildir)
    try:
        await test_sink.start()
    except OSError as error:
        print(f"asyncnet: {error.strerror or error}", file=sys.stderr)
        return exit_codes.UNAVAILABLE
    print(f"sink on {endpoint}, mail goes to {maildir}/; Ctrl-C ends it", file=sys.stderr)
    try:
        await stopping.wait()
    finally:
        await test_sink.stop()
    return exit_codes.OK
