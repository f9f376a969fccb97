"""One `id`, one mail: however often, in parallel and over restarts and kills a job is dropped."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

from asyncnet.config.values import Endpoint
from tests.support.daemon import DaemonProcess, config_text, running, seen_in
from tests.support.maildir import read_maildir
from tests.support.ports import refusing_port

JOB = """\
id: bill-7
from: Ada <ada@example.org>
to: grace@example.com
subject: Your bill
text: Please pay.
"""
DROPS = 1000
PART = DROPS // 5


def drop_part(spool: Path, part: int) -> None:
    for number in range(part * PART, (part + 1) * PART):
        aside = spool / "pickup" / f".{number}"
        aside.write_text(JOB)
        aside.rename(spool / "pickup" / f"job-{number}.yaml")


def results(spool: Path) -> list[Path]:
    return [it for name in ("sent", "failed") for it in (spool / name).glob("*.result.json")]


async def until(daemon: DaemonProcess, number: int) -> None:
    folders = [daemon.spool / "sent", daemon.spool / "failed"]

    def enough() -> list[Path]:
        found = results(daemon.spool)
        return found if len(found) >= number else []

    await seen_in(folders, enough, 60.0)


async def test_a_job_dropped_a_thousand_times_is_one_mail(tmp_path: Path, make_sink: Any) -> None:
    spool = tmp_path / "spool"
    with refusing_port() as port:  # the server is not there yet
        config = config_text(tmp_path, port)
        async with running(tmp_path, config) as daemon:
            # Two writers at once, cut off in the middle of it.
            await asyncio.gather(*(asyncio.to_thread(drop_part, spool, part) for part in (0, 1)))
            await until(daemon, PART // 2)
            await daemon.kill()
    drop_part(spool, 2)
    sink = await make_sink(Endpoint("127.0.0.1", port))
    async with running(tmp_path, config) as daemon:
        await asyncio.to_thread(drop_part, spool, 3)
        await until(daemon, 4 * PART)
    async with running(tmp_path, config) as daemon:
        # After it was sent, and after a restart in order.
        await asyncio.to_thread(drop_part, spool, 4)
        await until(daemon, DROPS)

    documents = [json.loads(path.read_text()) for path in results(spool)]
    assert Counter(it["status"] for it in documents) == {"sent": 1, "duplicate": DROPS - 1}
    (mail,) = read_maildir(sink.maildir)
    (sent,) = [it for it in documents if it["status"] == "sent"]
    assert sent["message_id"].encode() in mail.content
    named = {it["recipients"][0]["text"] for it in documents if it["status"] == "duplicate"}
    assert named == {f"duplicate of {sent['queue_id']}"}
    assert len(list((spool / "failed").glob("job-*.yaml"))) == DROPS - 1
