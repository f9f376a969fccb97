"""Our client as a sender process: the one place that knows how the product's client is driven.

    python -m tests.bench.sender_asyncnet JOB

As the delivery agent does, it keeps each talk supplied with as many messages as there is room
for, one coroutine each.  No mark is made before the end of a content: no peer keeps such a
journal, and what ours costs tests.bench.daemon shows.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from asyncnet.delivery.exchange import Exchange, Target
from asyncnet.mail.address import parse_mailbox
from asyncnet.mail.envelope import Envelope
from asyncnet.mail.letter import Content, Letter, Octets, Part
from asyncnet.mailqueue.contentfile import FileContent
from asyncnet.mime.message import compose
from tests.bench.child import LINES, READY, SENDER, SUBJECT, Job, wait_for_end, wait_for_start

FROM, TO = parse_mailbox(f"Ann Clark <{SENDER}>"), parse_mailbox("bob@example.com")
SMALL = Octets(READY)


def content(job: Job, number: int) -> Content:
    if not job.compose:
        return SMALL
    parts: tuple[Part, ...] = ()
    if job.file:
        file = FileContent(job.file, Path(job.file).stat().st_size)
        parts = (Part(file, "application/pdf", "report.pdf"),)
    return compose(
        Letter(
            from_=FROM,
            date=datetime.now(UTC),
            message_id=f"<{number}.01JDX0V6S3N2K7@example.org>",
            boundary_seed=f"01JDX0V6S3N2K7-{number}",
            to=(TO,),
            subject=SUBJECT,
            text=LINES,
            attachments=parts,
        )
    )


async def connect(job: Job) -> Exchange:
    target = Target("127.0.0.1", job.port, "none", window=job.window)
    exchange = await Exchange.connect(target)
    for _ in range(job.warm):
        await send(exchange, Envelope(SENDER, tuple(job.addresses)), SMALL)
    return exchange


async def send(exchange: Exchange, envelope: Envelope, message: Content) -> None:
    for answer in await exchange.transact(envelope, message):
        if answer.reply is None or not answer.reply.positive:
            raise SystemExit(f"not sent: {answer}")


async def send_all(exchange: Exchange, job: Job, numbers: Iterator[int]) -> None:
    """Send what the numbers stand for by one talk, keeping it as full as it asks to be."""
    envelope = Envelope(SENDER, tuple(job.addresses))

    async def worker() -> None:
        for number in numbers:
            await send(exchange, envelope, content(job, number))

    await asyncio.gather(*(worker() for _ in range(exchange.places)))


async def run(job: Job) -> None:
    exchanges = await asyncio.gather(*(connect(job) for _ in range(job.connections)))
    begun_s = wait_for_start()
    numbers = iter(range(job.messages))
    await asyncio.gather(*(send_all(exchange, job, numbers) for exchange in exchanges))
    wait_for_end(begun_s)
    for exchange in exchanges:
        await exchange.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(Job.from_argument()))
