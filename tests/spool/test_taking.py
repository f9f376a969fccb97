"""What is read of a job before it is claimed, and what is said where it cannot be read."""

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from asyncnet.spool import taking
from asyncnet.spool.earlier import read_earlier
from asyncnet.spool.folder import JobFile, SpoolFolder
from asyncnet.spool.job import Job, read_job, read_simple_job
from asyncnet.spool.ready_orders import read_orders
from asyncnet.spool.taking import take
from tests.spool.dropping import JOB, drop

P = ParamSpec("P")
R = TypeVar("R")


async def test_a_folder_is_no_job(folder: SpoolFolder) -> None:
    (folder.pickup / "a.yaml").mkdir()
    assert await take(folder.pickup, "a.yaml") is None


async def test_what_is_gone_is_told_as_such(folder: SpoolFolder) -> None:
    with pytest.raises(FileNotFoundError):
        await take(folder.pickup, "a.yaml")


async def test_a_file_whose_rights_are_not_set_yet_gets_time(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path, max_octets: int) -> JobFile:
        raise PermissionError(errno.EACCES, "Permission denied")

    drop(folder, "a.yaml")
    monkeypatch.setattr(taking, "read_job_file", forbidden)  # root may read everything
    taken = await take(folder.pickup, "a.yaml")
    assert taken is not None
    assert taken.may_be_under_way
    assert str(taken.outcome) == "cannot be read: Permission denied"


async def test_of_a_link_or_a_second_name_nothing_is_told(
    folder: SpoolFolder, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("from: root: x")
    (folder.pickup / "link.yaml").symlink_to(tmp_path / "secret")
    os.link(tmp_path / "secret", folder.pickup / "hard.yaml")
    for name, under_way in (("link.yaml", False), ("hard.yaml", True)):
        taken = await take(folder.pickup, name)
        assert taken is not None
        assert "root" not in str(taken.outcome)
        assert taken.may_be_under_way is under_way


async def test_a_good_job_under_a_second_name_is_refused_all_the_same(
    folder: SpoolFolder, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").write_text(JOB)
    os.link(tmp_path / "elsewhere", folder.pickup / "a.yaml")
    taken = await take(folder.pickup, "a.yaml")
    assert taken is not None
    assert str(taken.outcome) == "the file has more than one name (hard links)"


async def test_an_empty_message_may_be_under_way(folder: SpoolFolder) -> None:
    drop(folder, "a.eml", "")
    taken = await take(folder.pickup, "a.eml")
    assert taken is not None
    assert taken.may_be_under_way


@pytest.mark.parametrize("comment", ["", "# not simple\n"])
@pytest.mark.parametrize("limit", [taking.SMALL_JOB_OCTETS, taking.SIMPLE_JOB_OCTETS])
async def test_a_large_job_is_read_as_a_small_one_is(
    folder: SpoolFolder, limit: int, comment: str
) -> None:
    for size in (limit - 200, limit + 100):
        drop(folder, "a.yaml", comment + JOB.replace("text: x", "text: " + "x" * size))
        taken = await take(folder.pickup, "a.yaml")
        assert taken is not None
        assert isinstance(taken.outcome, Job)
        assert len(taken.outcome.text or "") == size


@pytest.fixture
def judged_at_once(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each judgement since then, whether the loop waited for it."""
    at_once: list[bool] = []

    def noting(judge: Callable[P, R]) -> Callable[P, R]:
        def note(*given: P.args, **named: P.kwargs) -> R:
            at_once.append(threading.current_thread() is threading.main_thread())
            return judge(*given, **named)

        return note

    for judge in (read_job, read_simple_job, read_orders, read_earlier):
        monkeypatch.setattr(taking, judge.__name__, noting(judge))
    return at_once


UNKNOWN_KEYS = "".join(f"k{number}: 1\n" for number in range(8000))


async def test_what_may_take_long_is_judged_beside_the_loop(
    folder: SpoolFolder, judged_at_once: list[bool]
) -> None:
    few = UNKNOWN_KEYS[: taking.SMALL_JOB_OCTETS]
    plain = JOB.replace("text: x", "text: " + "x" * taking.SMALL_JOB_OCTETS)
    for job, at_once in (
        (JOB, [True]),
        (few, [True]),
        (plain, [True]),
        (few + "k: 1\n", [True, False]),  # whether it is a plain one is seen at once
        (UNKNOWN_KEYS[:65_536], [True, False]),
        (UNKNOWN_KEYS, [True, False]),
        ("# not simple\n" + plain, [True, False]),
        (plain + "subject: [\n", [True, False]),
    ):
        drop(folder, "a.yaml", job)
        assert await take(folder.pickup, "a.yaml") is not None
        assert judged_at_once == at_once, job[:40]
        judged_at_once.clear()


async def test_what_lies_beside_a_job_is_judged_beside_the_loop_where_it_is_large(
    folder: SpoolFolder, judged_at_once: list[bool]
) -> None:
    drop(folder, "a.eml", "Subject: x\n\nx\n")
    drop(folder, "b.yaml")
    result = {"schema": 1, "queue_id": "x", "recipients": []}
    for size, at_once in ((0, [True]), (taking.SMALL_JOB_OCTETS, [False])):
        drop(folder, "a.envelope.yaml", "priority: high\n" + "#" * size)
        assert await take(folder.pickup, "a.eml") is not None
        assert judged_at_once == at_once, "the orders"
        judged_at_once.clear()
        drop(folder, "b.result.json", json.dumps(result) + " " * size)
        assert await take(folder.pickup, "b.yaml") is not None
        assert judged_at_once == at_once * 2, "the result, then the job"
        judged_at_once.clear()
