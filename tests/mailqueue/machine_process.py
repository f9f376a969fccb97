"""A machine beside others on one PostgreSQL queue.

python -m tests.mailqueue.machine_process URL OWNER TERM_S hold|send|toil

hold: leases everything, marks every second dot and waits to be stopped; whatever comes on the
standard input makes it go on with its leases, and tell what became of them.
send: leases, marks, settles until nothing is left, and tells each fence that it settled.
toil: the same several at a time, whatever happens to the database, and tells what it sent.
"""

import asyncio
import sys
import time

from asyncnet.mailqueue.postgres import PostgresStore
from asyncnet.mailqueue.store import Lease, LeaseLost, StoreError
from tests.mailqueue.messages import ACCEPTED, DEDUP_WINDOW_S, settled


async def hold(store: PostgresStore) -> None:
    leases = await store.lease(time.time(), 1000)
    leases.sort(key=lambda lease: lease.queue_id)
    for lease in leases[::2]:
        await store.mark_dot(lease)
    print("leased", len(leases), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for number, lease in enumerate(leases):
        try:
            if number % 2:
                await store.mark_dot(lease)
            await store.settle(lease, settled(ACCEPTED), time.time())
        except LeaseLost:
            print("lost", lease.queue_id, flush=True)
        else:
            print("settled", lease.queue_id, flush=True)


async def send(store: PostgresStore) -> None:
    while True:
        leases = await store.lease(time.time(), 16)
        if not leases and await store.next_due(time.time()) is None:
            return
        for lease in leases:
            await store.mark_dot(lease)
            print(lease.queue_id, lease.fence, flush=True)
            await store.settle(lease, settled(ACCEPTED), time.time())


async def toil(store: PostgresStore) -> None:
    async def carry(lease: Lease) -> None:
        marked = False
        while True:
            try:
                if not marked:
                    await store.mark_dot(lease)
                    marked = True
                    await asyncio.sleep(0.002)  # a server's reply takes its time
                    print("sent", lease.queue_id, flush=True)
                await store.settle(lease, settled(ACCEPTED), time.time())
                return
            except LeaseLost:
                return
            except StoreError:
                await asyncio.sleep(0.05)

    while True:
        try:
            leases = await store.lease(time.time(), 8)
            if not leases and not await store.backlogs():
                return
        except StoreError:
            leases = []
        await asyncio.gather(*(carry(lease) for lease in leases), asyncio.sleep(0.02))


async def main(url: str, owner: str, term_s: str, work: str) -> None:
    store = PostgresStore(url, owner, dedup_window_s=DEDUP_WINDOW_S, lease_term_s=float(term_s))
    await store.open(time.time())
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await {"hold": hold, "send": send, "toil": toil}[work](store)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
