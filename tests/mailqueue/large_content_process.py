"""Takes 25 MB in and sends them out, and prints by how many octets that made the process grow.

python -m tests.mailqueue.large_content_process URL
"""

import asyncio
import resource
import sys
from collections.abc import Iterator

from asyncnet.mail.letter import BLOCK_OCTETS
from asyncnet.mailqueue.postgres import PostgresStore
from tests.mailqueue.messages import DEDUP_WINDOW_S, LARGE, NOW, leased, message

BLOCKS = 400


class Generated:
    """25 MB that never lie in memory."""

    octets = BLOCKS * BLOCK_OCTETS

    def blocks(self) -> Iterator[bytes]:
        for number in range(BLOCKS):
            yield bytes([number % 251]) * BLOCK_OCTETS


async def main(url: str) -> None:
    store = PostgresStore(url, "here", dedup_window_s=DEDUP_WINDOW_S)
    await store.open(NOW)
    await store.accept(message("Q1"), LARGE, NOW)
    for _ in store.content(await leased(store, "Q1")).blocks():
        pass
    before = peak_octets()
    await store.accept(message("Q2"), Generated(), NOW)
    given = Generated().blocks()
    seen = 0
    for block in store.content(await leased(store, "Q2")).blocks():
        assert block == next(given)
        seen += len(block)
    assert seen == Generated.octets
    print(peak_octets() - before)
    await store.close()


def peak_octets() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
