"""aiosmtplib as a sender process, connections kept; `email` where it composes.

python -m tests.bench.sender_aiosmtplib JOB    (by the python of build/bench-venv)
"""

import asyncio
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from tests.bench.child import READY, SENDER, Job, email_message, wait_for_end, wait_for_start

aiosmtplib: Any = import_module("aiosmtplib")  # not in the environment that is type-checked


async def send(client: Any, job: Job, *, small: bool = False) -> None:
    if job.compose:
        message = email_message(job, small=small)
        await client.send_message(message, sender=SENDER, recipients=job.addresses)
    else:
        await client.sendmail(SENDER, job.addresses, READY)


async def connect(job: Job) -> Any:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=job.port, start_tls=False)
    await client.connect()
    for _ in range(job.warm):
        await send(client, job, small=True)
    return client


async def send_all(client: Any, job: Job, numbers: Iterator[int]) -> None:
    for _ in numbers:
        await send(client, job)


async def run(job: Job) -> None:
    clients = await asyncio.gather(*(connect(job) for _ in range(job.connections)))
    begun_s = wait_for_start()
    numbers = iter(range(job.messages))
    await asyncio.gather(*(send_all(client, job, numbers) for client in clients))
    wait_for_end(begun_s)
    for client in clients:
        client.close()


if __name__ == "__main__":
    asyncio.run(run(Job.from_argument()))
