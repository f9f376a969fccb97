"""What an earlier run left in queue/ without a row: claims to be taken again, and companions.

A hundred thousand jobs may wait there, each with its row.  So the folder is listed a few names at
a time, and what has a row is dropped as it comes: neither memory nor a start that takes seconds
goes into what is in order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from itertools import islice

from asyncnet.mailqueue.store import Claim
from asyncnet.spool.companions import Companion, companion_of
from asyncnet.spool.folder import SpoolFolder, claim_of
from asyncnet.spool.queue_id import LENGTH

NAMES_A_QUERY = 1_000  # a millisecond of listing, and one question to the store


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Claims without a row, oldest first; companions without row or job, in the names' order."""

    claims: list[Claim]
    companions: list[Companion]


async def left_behind(
    folder: SpoolFolder, known: Callable[[Collection[str]], Awaitable[frozenset[str]]]
) -> LeftBehind:
    """Look through queue/; known tells which queue ids have a row.

    The store is asked after a name was seen: what it knows by then is in good hands.  Raises
    OSError, and what known raises.
    """
    names: list[str] = []
    with folder.in_queue() as listing:
        while some := list(islice(listing, NAMES_A_QUERY)):
            # What bears no id is nobody's, and no id of it is known.
            rows = await known({name[:LENGTH] for name in some})
            names += [name for name in some if name[:LENGTH] not in rows]
            await asyncio.sleep(0)
    claims = [claim for name in names if (claim := claim_of(name)) is not None]
    jobs = {claim.queue_id for claim in claims}
    companions = [it for name in sorted(names) if (it := companion_of(name)) is not None]
    return LeftBehind(
        sorted(claims, key=lambda claim: claim.queue_id),
        [it for it in companions if it.queue_id not in jobs],
    )
