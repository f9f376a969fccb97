"""The end does not wait for a disk that hangs, and the next start goes on with its jobs."""

from pathlib import Path
from typing import Any

import pytest

from asyncnet.mailqueue.store import HELD_OCTETS
from tests.support.daemon import REPOSITORY, config_text, running, start

JOB = "from: ada@example.org\nto: ok@example.com\nsubject: x\nattachments: [a.bin]\n"
SMALL, LARGE = 10, HELD_OCTETS + 1  # the second is read by the store, as it writes it
INTAKE = "not waited for: jobs whose files are still being read; the next start does"
STORE = "not waited for: a content is still being read"


@pytest.mark.parametrize(
    ("at", "octets", "told"),
    [
        ("judged", SMALL, [INTAKE]),
        ("read", SMALL, [INTAKE]),
        ("read", LARGE, [INTAKE, STORE]),
    ],
)
async def test_a_job_whose_file_hangs_is_left_to_the_next_start(
    tmp_path: Path, make_sink: Any, at: str, octets: int, told: list[str]
) -> None:
    sink = await make_sink()
    (tmp_path / "a.bin").write_bytes(bytes(octets))
    config = config_text(tmp_path, sink.endpoints[0].port)
    daemon = await start(
        tmp_path,
        config,
        argv=("-m", "tests.support.hanging_daemon", at),
        environment={"PYTHONPATH": str(REPOSITORY)},
    )
    try:
        assert await daemon.wait_ready(), daemon.errors
        daemon.drop("job.yaml", JOB)
        assert await daemon.said("hangs")
        assert await daemon.terminate() == 0
    finally:
        if daemon.process.returncode is None:
            await daemon.kill()
    said = [it["event"] for it in daemon.log if it["event"].startswith("not waited for: ")]
    assert said == told
    assert daemon.errors == []
    (left,) = (it.name for it in (daemon.spool / "queue").glob("*.yaml"))
    assert left.endswith("job.yaml")
    async with running(tmp_path, config) as following:
        assert (await following.result("job"))["status"] == "sent"
