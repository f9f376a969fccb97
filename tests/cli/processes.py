"""The command line as processes of their own."""

import asyncio
import os
import sys
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    code: int
    out: str
    err: str


async def run(folder: Path, *argv: str | Path, **environment: str) -> Ended:
    """Run `python -m asyncnet ARGV` in folder until it ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "asyncnet", *map(str, argv)),
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
