"""Folder events (Linux inotify): the names that were renamed in or closed by their writer.

Only a hint.  There are none on network file systems and bind mounts, the kernel's queue
overflows, and elsewhere than on Linux there is no inotify; the scan finds what is missed.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

_CACHED_EVENTS = 256  # read from the kernel at once; 10 by default, a system call each in a burst


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

    overflow, ignored, is_folder = Mask.Q_OVERFLOW.value, Mask.IGNORED.value, Mask.ISDIR.value
    try:
        with Inotify(cache_size=_CACHED_EVENTS) as inotify:
            inotify.add_watch(folder, Mask.MOVED_TO | Mask.CLOSE_WRITE | Mask.ONLYDIR)
            missed()
            async for event in inotify:
                mask = event.mask.value  # a number: enum arithmetic costs more than all else here
                if mask & overflow:
                    missed()
                elif mask & ignored:
                    return "the folder was removed"
                elif event.name is not None and not mask & is_folder:
                    noticed(os.fspath(event.name))
    except OSError as error:
        return str(error)
    return "the events ended"
