"""The real daemon with jobs' files on a disk that hangs for ever, once something is read there.

    python -m tests.support.hanging_daemon judged|read --config FILE

At "judged" they hang when they are opened, at "read" when their octets are wanted.  The end gives
them half a second.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import structlog

from asyncnet.cli import logs
from asyncnet.cli.serve import loop_factory, serve
from asyncnet.config.file import load
from asyncnet.mailqueue import being_read
from asyncnet.providers.builtin import catalogue
from asyncnet.spool import bringing
from asyncnet.spool.files import AllowedFolders, FileContent
from asyncnet.supervisor import Daemon

log = structlog.get_logger()


def hang() -> NoReturn:
    log.info("hangs")
    reading, _writing = os.pipe()
    os.read(reading, 1)
    raise AssertionError("nobody writes")


def hang_when_judged(folders: AllowedFolders, path: str, owner: int) -> FileContent:
    hang()


def hang_when_read(content: FileContent) -> Iterator[bytes]:
    hang()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("at", choices=["judged", "read"])
    parser.add_argument("--config", type=Path, required=True)
    given = parser.parse_args()
    if given.at == "judged":
        AllowedFolders.open = hang_when_judged  # type: ignore[method-assign, assignment]
    else:
        FileContent.blocks = hang_when_read  # type: ignore[method-assign, assignment]
    bringing.FINISH_S = being_read.CLOSE_S = 0.5
    settings = load(given.config)
    logs.configure(settings.log)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        daemon = Daemon(settings)
        sys.exit(runner.run(serve(daemon, lambda: (load(given.config), catalogue()))))


if __name__ == "__main__":
    main()
