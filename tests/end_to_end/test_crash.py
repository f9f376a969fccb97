"""SIGKILL at every step of the crash story: nothing is lost, and nothing is sent twice
but the one mail that is in doubt, which its result names.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import REPOSITORY, config_text, first_of, running, seen_in, start
from tests.support.dying_daemon import STEPS
from tests.support.maildir import read_maildir

# The server's answer is not known on the disk: the mail is sent again, and its result says so.
IN_DOUBT = {"dot marked", "answered"}
ARRIVED_BEFORE_THE_KILL = {"answered", "settled", "result written", "job moved", "reported"}

READY = "From: ada@example.org\nTo: ok@example.com\nSubject: x\n\ny\n"
ENVELOPE = "to: [ok@example.com, also@example.com]\n"
JOB = "from: ada@example.org\nto: [ok@example.com, also@example.com]\nsubject: x\ntext: y\n"
LARGE = "attachments: [large.bin]\n"  # its content lies in a file of its own, not in the row


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        pytest.param(step, kind, id=f"{step}-{kind}".replace(" ", "-"))
        for step in STEPS
        for kind in ("small", "large", "ready")
        if kind == "ready" or step != "companions claimed"  # a job in one file has none
    ],
)
async def test_a_kill_at_any_step_loses_nothing_and_doubles_only_what_is_in_doubt(
    tmp_path: Path, make_sink: Any, step: str, kind: str
) -> None:
    sink = await make_sink()
    (tmp_path / "large.bin").write_bytes(bytes(range(256)) * 400)
    config = config_text(tmp_path, sink.endpoints[0].port)
    dying = await start(
        tmp_path,
        config,
        argv=("-m", "tests.support.dying_daemon", step),
        environment={"PYTHONPATH": str(REPOSITORY)},
    )
    assert await dying.wait_ready(), dying.errors
    if kind == "ready":
        dying.drop("job.envelope.yaml", ENVELOPE)
        dying.drop("job.eml", READY)
    else:
        dying.drop("job.yaml", JOB + (LARGE if kind == "large" else ""))
    assert await dying.wait() == -9, dying.errors
    assert sink.stored == (1 if step in ARRIVED_BEFORE_THE_KILL else 0)

    async with running(tmp_path, config) as daemon:
        result = await daemon.result("job")
        # A second job is the proof that the first is done with: they are sent in order.
        daemon.drop("after.yaml", JOB)
        await daemon.result("after")

    mails = [mail for mail in read_maildir(sink.maildir)]
    sent_by_us = len(mails) - 1
    assert result["status"] == "sent"
    assert [it["address"] for it in result["recipients"]] == ["ok@example.com", "also@example.com"]
    assert {it["status"] for it in result["recipients"]} == {"accepted"}
    assert {it["possible_duplicate"] for it in result["recipients"]} == {step in IN_DOUBT}
    assert sent_by_us == (2 if step == "answered" else 1)
    # Whatever was sent twice was the same message, Message-ID and all.
    firsts = [mail.content for mail in mails if result["message_id"].encode() in mail.content]
    assert len(firsts) == sent_by_us
    assert len(set(firsts)) == 1
    assert not list((daemon.spool / "queue").iterdir())
    assert not list((daemon.spool / "pickup").iterdir())


ONCE_REFUSED = "reject-once@example.com"  # by the sink; the second time it is taken
PARTLY = f"from: ada@example.org\nto: [ok@example.com, {ONCE_REFUSED}]\nid: once\ntext: y\n"
READY_PARTLY = f"to: [ok@example.com, {ONCE_REFUSED}]\nid: once\n"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["yaml", "eml"])
async def test_a_kill_of_a_job_moved_back_sends_to_nobody_who_has_it(
    tmp_path: Path, make_sink: Any, step: str, kind: str
) -> None:
    sink = await make_sink()
    config = config_text(tmp_path, sink.endpoints[0].port)
    passing = 0 if kind == "yaml" and step == "companions claimed" else 1
    dying = await start(
        tmp_path,
        config,
        argv=("-m", "tests.support.dying_daemon", step, "--passing", str(passing)),
        environment={"PYTHONPATH": str(REPOSITORY)},
    )
    assert await dying.wait_ready(), dying.errors
    files = ["job.result.json", "job.yaml"]
    if kind == "eml":
        files = ["job.envelope.yaml", "job.result.json", "job.eml"]
        dying.drop("job.envelope.yaml", READY_PARTLY)
    dying.drop(files[-1], PARTLY if kind == "yaml" else READY)
    failed, sent, pickup = (dying.spool / name for name in ("failed", "sent", "pickup"))
    first = await dying.result("job")
    await seen_in({failed}, lambda: [path for path in [failed / files[-1]] if path.exists()])
    # Killed before that is noted, the next start would file its result once more.
    assert await dying.said("job reported", name="job")
    assert (first["status"], sink.stored) == ("partial", 1)
    for name in files:
        (failed / name).rename(pickup / name)
    assert await dying.wait() == -9, dying.errors
    assert sink.stored == (2 if step in ARRIVED_BEFORE_THE_KILL else 1)

    async with running(tmp_path, config) as daemon:
        await first_of([sent / "job.result.json"])
        daemon.drop("after.yaml", JOB)
        await daemon.result("after")
        await first_of([sent / "after.yaml"])  # the job moves behind its result
        swept = [path for path in (daemon.spool / "queue").iterdir() if path.is_file()]

    # One result at the end, which repeats the earlier verdict word for word.
    assert sorted(path.name for path in sent.iterdir() if "after" not in path.name) == sorted(files)
    result = json.loads((sent / "job.result.json").read_bytes())
    assert (result["status"], result["id"]) == ("sent", "once")
    has, rest = result["recipients"]
    assert has == first["recipients"][0]
    assert (rest["address"], rest["status"]) == (ONCE_REFUSED, "accepted")
    assert rest["possible_duplicate"] == (step in IN_DOUBT)
    assert any(first["queue_id"] in warning for warning in result["warnings"])
    arrived = [list(mail.recipients) for mail in read_maildir(sink.maildir)][:-1]
    assert arrived == [["ok@example.com"]] + [[ONCE_REFUSED]] * (2 if step == "answered" else 1)
    assert [list(folder.iterdir()) for folder in (failed, pickup)] == [[], []]
    assert swept == []


@pytest.mark.parametrize(
    ("on_doubt", "status", "recipient"),
    [("fail", "in_doubt", "in_doubt"), ("retry", "sent", "accepted")],
)
async def test_a_job_says_what_happens_to_it_in_doubt(
    tmp_path: Path, make_sink: Any, on_doubt: str, status: str, recipient: str
) -> None:
    sink = await make_sink()
    config = config_text(tmp_path, sink.endpoints[0].port, '[queue]\nretry = ["0s", "100ms"]\n')
    to_doubt = f"on_doubt: {on_doubt}\n" + JOB.replace("ok@", "drop-after-dot-once@")
    async with running(tmp_path, config) as daemon:
        daemon.drop("doubt.yaml", to_doubt)
        result = await daemon.result("doubt")
    assert result["status"] == status
    assert {it["status"] for it in result["recipients"]} == {recipient}
    assert {it["possible_duplicate"] for it in result["recipients"]} == {on_doubt == "retry"}
    assert sink.stored == (2 if on_doubt == "retry" else 1)


async def test_kills_at_odd_moments_under_load_leave_one_result_for_every_job(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = await make_sink()
    config = config_text(tmp_path, sink.endpoints[0].port)
    count, rounds = 60, 4
    names = [f"job-{number}" for number in range(count)]
    pickup = tmp_path / "spool" / "pickup"
    pickup.mkdir(parents=True)
    for name in names:
        (pickup / f".{name}").write_text(JOB.replace("subject: x", f"subject: {name}"))
        (pickup / f".{name}").rename(pickup / f"{name}.yaml")
    for number in range(rounds):
        daemon = await start(tmp_path, config)
        assert await daemon.wait_ready(), daemon.errors
        async with asyncio.timeout(20):  # each round dies at another fill of the queue
            await sink.wait_for((number + 1) * count // (rounds + 2))
        await daemon.kill()
    async with running(tmp_path, config) as daemon:
        results = [await daemon.result(name) for name in names]

    arrived = [mail.content for mail in read_maildir(sink.maildir)]
    for result in results:
        copies = sum(result["message_id"].encode() in content for content in arrived)
        doubtful = any(it["possible_duplicate"] for it in result["recipients"])
        assert result["status"] == "sent"
        assert copies == 1 or (copies > 1 and doubtful), json.dumps(result)
