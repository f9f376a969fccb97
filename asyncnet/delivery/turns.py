"""Work on many things at once that leaves the others on the loop their turn."""

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TypeVar

TURN_S = 0.005  # no other talk notices so short a wait

T = TypeVar("T")
R = TypeVar("R")


async def map_in_turns(
    function: Callable[[T], R], items: Sequence[T], clock: Callable[[], float] = perf_counter
) -> list[R]:
    """What the function makes of each item; others run each time TURN_S is over.

    An object that stands there several times is worked on once: one reply may go for thousands
    of recipients.  Cancelled, it does the rest without a pause and returns: what a server
    answered is not lost because we stop.
    """
    results: dict[int, R] = {}
    patient, pause_at = True, clock() + TURN_S
    for item in items:
        if id(item) in results:
            continue
        results[id(item)] = function(item)
        if patient and clock() >= pause_at:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                patient = False
            pause_at = clock() + TURN_S
    return [results[id(item)] for item in items]
