"""Threads without a loop give way to those with one, and find more to do when their turn comes.

A thread that is woken would cut in on the loop that woke it, only to wait for the interpreter that
the loop still holds.  As SCHED_BATCH (sched(7)) it waits until the loop rests or has had its time;
by then more has gathered for it, and far fewer turns change hands.  When nothing else runs, it
begins at once as ever.
"""

import asyncio
import contextlib
import os
import threading

from asyncnet.web.apart import PAGES

LOOK_EVERY_S = 1.0  # for threads that began meanwhile; a look takes some 20 µs


async def give_way() -> None:
    """See to it until cancelled; the caller's thread has a loop, and so has that of the pages.

    Returns where the system has no such thing.
    """
    if not hasattr(os, "SCHED_BATCH"):
        return
    while True:
        for thread in threading.enumerate():
            if thread is threading.current_thread() or thread.name == PAGES:
                continue
            if thread.native_id is not None:  # it has begun
                with contextlib.suppress(OSError):  # it has just ended, or the system refuses it
                    _let_give_way(thread.native_id)
        await asyncio.sleep(LOOK_EVERY_S)


def _let_give_way(thread: int) -> None:
    """Raises OSError.  Who was given another policy from outside keeps it."""
    if os.sched_getscheduler(thread) == os.SCHED_OTHER:
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
