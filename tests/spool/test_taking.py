"""What is read of a job before it is claimed, and what is said where it cannot be read."""

import errno
import os
import threading
from pathlib import Path

import pytest

from asyncnet.spool import taking
from asyncnet.spool.folder import JobFile, SpoolFolder
from asyncnet.spool.job import Job, JobKind, read_job
from asyncnet.spool.taking import take
from tests.spool.dropping import JOB, drop


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


async def test_what_may_take_long_is_judged_beside_the_loop(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[bool] = []

    def judge(octets: bytes, kind: JobKind) -> Job:
        judged.append(threading.current_thread() is threading.main_thread())
        return read_job(octets, kind)

    monkeypatch.setattr(taking, "read_job", judge)
    simple = JOB.replace("text: x", "text: " + "x" * taking.SMALL_JOB_OCTETS)
    broken = simple + "subject: [\n"
    for text in (simple, "# not simple\n" + simple, broken):
        drop(folder, "a.yaml", text)
        assert await take(folder.pickup, "a.yaml") is not None
    assert judged == [False, False], "the simple one is judged at once"
