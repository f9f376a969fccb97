"""One processor for all threads of the daemon, since in Python they take turns in any case.

On two, each turn that is handed over wakes the other processor, and whoever lets go of the
interpreter for a system call finds it taken when that returns.  On one, a thread that lets go for
so short a time simply goes on.

Which processor it is the system says, and it is asked again every few seconds, so that we leave
one that has become busy.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

ASK_EVERY_S = 5.0
ASKING_S = 0.02  # all are open to us meanwhile: who has to wait is moved within a few ms

_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # for a time
_THREADS = Path("/proc/self/task")
_PROCESSOR = 36  # the field of stat, counted behind the name (proc(5): 39)


async def stay_on_one() -> None:
    """Keep all threads on the processor where the caller's loop runs, until it is cancelled.

    Returns where there is only one for us, or where the system has no such thing or refuses it: all
    that are allowed are open again then, if the system lets us.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    allowed = os.sched_getaffinity(0)
    while len(allowed) > 1:
        try:
            _keep_to(allowed)
            await asyncio.sleep(ASKING_S)
            _keep_to([_present()])
        except OSError as error:
            if error.errno not in _SCARCE:
                with contextlib.suppress(OSError):
                    _keep_to(allowed)
                return
        await asyncio.sleep(ASK_EVERY_S)


def _keep_to(processors: Iterable[int]) -> None:
    """Raises OSError; some threads may have been told by then."""
    for thread in os.listdir(_THREADS):
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread), processors)


def _present() -> int:
    """The processor that this thread runs on.  Raises OSError."""
    stat = Path("/proc/thread-self/stat").read_text(encoding="utf-8", errors="replace")
    return int(stat.rpartition(")")[2].split()[_PROCESSOR])
