"""What is damaged is set aside with its reason, and all other mail goes on."""

import sqlite3
from pathlib import Path
from typing import Any

from tests.support.daemon import config_text, running

JOB = """\
from: Ada <ada@example.org>
to: {name}@example.com
subject: {name}
send_at: 2099-01-01T00:00:00Z
text: {text}
"""
GARBAGE = "CAST(x'ff80' AS TEXT)"


async def test_damaged_rows_contents_and_jobs_stop_nobody(tmp_path: Path, make_sink: Any) -> None:
    sink = await make_sink()
    config = config_text(tmp_path, sink.endpoints[0].port)
    names = ["row", "recipient", "content", "whole", "large"]
    async with running(tmp_path, config) as daemon:
        for name in names:
            text = "x" * 40_000 if name in ("content", "large") else "hello"
            daemon.drop(f"{name}.yaml", JOB.format(name=name, text=text))
            # One at a time, so that each content lies in a file of its own.
            assert await daemon.said("job accepted", name=name)
    (record,) = [it for it in daemon.log if it.get("name") == "content"]
    (tmp_path / "spool" / "queue" / f"{record['queue_id']}.msg").write_bytes(b"rubbish")
    database = sqlite3.connect(tmp_path / "spool" / "queue.db")
    database.execute("UPDATE job SET due_at = 1.0")
    database.execute(f"UPDATE job SET reverse_path = {GARBAGE} WHERE name = 'row'")
    database.execute(
        "UPDATE recipient SET address = 7 WHERE job = (SELECT id FROM job WHERE name = 'recipient')"
    )
    database.commit()
    database.close()
    (tmp_path / "spool" / "pickup" / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80: [")

    async with running(tmp_path, config) as daemon:
        results = {name: await daemon.result(name) for name in [*names, "binary"]}

    assert {name: it["status"] for name, it in results.items()} == {
        "row": "failed",
        "recipient": "failed",
        "content": "failed",
        "whole": "sent",
        "large": "sent",
        "binary": "invalid",
    }
    for name in ("row", "recipient", "content"):
        told = results[name]["recipients"][0]["text"]
        assert "damaged" in told, name
        assert (tmp_path / "spool" / "failed" / f"{name}.yaml").exists(), name
    assert "sender" in results["row"]["errors"][0]["problem"]
