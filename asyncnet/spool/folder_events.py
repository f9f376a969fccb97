"""Folder events (Linux inotify): the names that were renamed in or closed by their writer.

Only a hint.  There are none on network file systems and bind mounts, the kernel's queue
overflows, and elsewhere than on Linux there is no inotify; the scan finds what is missed.
"""

import asyncio
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_READ_OCTETS = 65_536  # some two thousand events: a burst takes few system calls
_HEAD = struct.Struct("iIII")  # watch, mask, cookie, octets of the name behind it (inotify(7))


async def follow_events(
    folder: Path, noticed: Callable[[str], None], missed: Callable[[], None]
) -> str:
    """Call noticed with each name that is ready in folder, missed when some were lost.

    missed is called at the beginning too, when the watch stands.  Returns why there are no
    events, or no more; cancel it to end it.
    """
    if sys.platform != "linux":
        return "this system has no inotify"
    from asyncinotify import Inotify, Mask

    overflow, ignored, is_folder = int(Mask.Q_OVERFLOW), int(Mask.IGNORED), int(Mask.ISDIR)
    try:
        with Inotify() as inotify:
            inotify.add_watch(folder, Mask.MOVED_TO | Mask.CLOSE_WRITE | Mask.ONLYDIR)
            missed()
            # Its own reader makes a path and a flag object of every event: a third of the time
            # that a job takes to be read.
            while True:
                await _readable(inotify.fd)
                for mask, name in _events(os.read(inotify.fd, _READ_OCTETS)):
                    if mask & overflow:
                        missed()
                    elif mask & ignored:
                        return "the folder was removed"
                    elif name and not mask & is_folder:
                        noticed(name)
    except OSError as error:
        return str(error)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)


def _events(octets: bytes) -> Iterator[tuple[int, str]]:
    """Mask and name of each; the name is empty where the event is of the folder itself."""
    at, end = 0, len(octets)
    while at < end:
        _, mask, _, name_octets = _HEAD.unpack_from(octets, at)
        at += _HEAD.size + name_octets
        yield mask, os.fsdecode(octets[at - name_octets : at].rstrip(b"\0"))
