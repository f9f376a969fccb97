"""Accepts messages for ever, a hundred at a time, and prints each id that was acknowledged.

python -m tests.mailqueue.acknowledging_process FOLDER|URL
"""

import asyncio
import itertools
import sys
from pathlib import Path

from asyncnet.mail.letter import Octets
from asyncnet.mailqueue.postgres import PostgresStore
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Store
from tests.mailqueue.messages import DEDUP_WINDOW_S, LARGE, NOW, SMALL, VAST, message


def store_at(place: str) -> Store:
    if place.startswith("postgresql:"):
        return PostgresStore(place, "here", dedup_window_s=DEDUP_WINDOW_S)
    folder = Path(place)
    return SqliteStore(folder / "queue.db", folder / "queue", dedup_window_s=DEDUP_WINDOW_S)


def content_of(number: int) -> Octets:
    """What message Q<number> holds."""
    if number % 50:
        return SMALL
    return LARGE if number % 100 else VAST


async def accept_for_ever(store: Store) -> None:
    await store.open(NOW)
    numbers = itertools.count()

    async def caller() -> None:
        for number in numbers:
            await store.accept(message(f"Q{number}"), content_of(number), NOW)
            print(f"Q{number}", flush=True)

    await asyncio.gather(*(caller() for _ in range(100)))


if __name__ == "__main__":
    asyncio.run(accept_for_ever(store_at(sys.argv[1])))
