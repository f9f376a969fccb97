"""Postfix's drain, as the yardstick of a burst: the same messages to the same sink.

They are queued first, on hold; the time runs from the order to send them all until the sink has
the last one.  So it is what is left when a whole queue of Postfix stands ready on the disk: it
reads no job, composes nothing and writes no result.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

from tests.support.peers.packages import PackageMissing, environment, tree
from tests.support.peers.peer import HOST, Peer
from tests.support.peers.postfix import postfix

SUBMITTERS = 10
CONTENT_OCTETS = 1024


def why_not() -> str | None:
    """Why Postfix cannot be measured here; None: it can."""
    if os.geteuid() != 0:
        return "only root can start it"
    try:
        tree("postfix")
    except PackageMissing as missing:
        return str(missing)
    return None


async def measure_drain(
    port: int,
    arrived: Callable[[int], Awaitable[None]],
    count: int,
    octets: int = CONTENT_OCTETS,
) -> float:
    """Seconds for count messages of octets each to a sink; arrived waits until it has them."""
    settings = f"""\
relay_transport = smtp:[{HOST}]:{port}
smtpd_client_restrictions = check_client_access static:HOLD
"""
    async with postfix(extra=settings) as peer:
        await _submit(peer, count, octets)
        start_s = time.perf_counter()
        await _run(peer, "postsuper", "-H", "ALL")
        # "Scan what is deferred, whatever its time and its transport": as postqueue -f says it,
        # which wants the pickup service.  Its exit code tells nothing.
        await _run(peer, "postkick", "public", "qmgr", "DFA", succeeds=False)
        await arrived(count)
        return time.perf_counter() - start_s


async def _submit(peer: Peer, count: int, octets: int) -> None:
    words = ("-s", str(SUBMITTERS), "-m", str(count), "-l", str(octets))
    addresses = ("-f", "bench@example.org", "-t", "reader@example.org")
    await _run(peer, "smtp-source", *words, *addresses, f"{HOST}:{peer.port}")


async def _run(peer: Peer, program: str, *words: str, succeeds: bool = True) -> None:
    """Run one of Postfix's programs.  Raises AssertionError with what it said where it fails."""
    # The wrapper that shows the server its users is for programs that look them up, too.
    variables = environment(peer.folder) | {"MAIL_CONFIG": str(peer.folder / "etc/postfix")}
    [wrapper] = peer.folder.glob("usr/lib/**/libnss_wrapper.so")
    variables |= {
        "LD_PRELOAD": str(wrapper),
        "NSS_WRAPPER_PASSWD": str(peer.folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(peer.folder / "group"),
    }
    process = await asyncio.create_subprocess_exec(
        str(peer.folder / "usr/sbin" / program),
        *words,
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert not succeeds or process.returncode == 0, f"{program}: {said.decode(errors='replace')}"
