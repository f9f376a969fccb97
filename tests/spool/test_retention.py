"""Old jobs go from sent/ and failed/, and nothing that is not ours goes with them."""

import asyncio
import itertools
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.spool import retention
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.retention import OldJobs, Retention, waiting_names
from tests.spool.dropping import drop, running, spool_settings
from tests.spool.finishing import ACCEPTED, REJECTED, finish, report

NOW = 1_800_000_000.0
DAY_S = 86_400.0
ID = "01JDX0V6S3N2K7AB"


def result(name: str = "job", queue_id: object = ID, schema: object = 1) -> str:
    return json.dumps({"schema": schema, "name": name, "queue_id": queue_id, "status": "sent"})


def put(folder: Path, name: str, text: str = "x", *, age_s: float = 2 * DAY_S) -> Path:
    path = folder / name
    path.write_text(text)
    os.utime(path, (NOW - age_s, NOW - age_s))
    return path


def put_pair(folder: Path, name: str = "job", *, age_s: float = 2 * DAY_S) -> None:
    put(folder, f"{name}.yaml", age_s=age_s)
    put(folder, f"{name}.result.json", result(name), age_s=age_s)


def nothing(wanted: frozenset[str]) -> set[str]:
    """No job waits."""
    return set()


def clear(folder: Path, keep_s: float = DAY_S) -> OldJobs:
    old = OldJobs(folder, NOW - keep_s, nothing)
    while old.step():
        pass
    return old


def left(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_pair_goes_when_its_result_is_old_enough(tmp_path: Path) -> None:
    put_pair(tmp_path, "old")
    put_pair(tmp_path, "young", age_s=DAY_S - 10)
    put(tmp_path, "again.yaml", age_s=9 * DAY_S)  # dropped long ago, finished today
    put(tmp_path, "again.result.json", result("again"), age_s=10)
    assert clear(tmp_path).removed == 1
    assert left(tmp_path) == [
        "again.result.json",
        "again.yaml",
        "young.result.json",
        "young.yaml",
    ]


@pytest.mark.parametrize(
    "files",
    [
        {"job.json": "{}", "job.result.json": result()},
        {"job.yml": "x", "job.result.json": result()},
        {"job.eml": "x", "job.envelope.yaml": "x", "job.result.json": result()},
        {f"job~{ID}.yaml": "x", f"job~{ID}.result.json": result()},
        {"a.b c.yaml": "x", "a.b c.result.json": result("a.b c")},
        {"作业.yaml": "x", "作业.result.json": result("作业")},
    ],
)
def test_every_kind_of_job_goes_whole(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        put(tmp_path, name, text)
    assert clear(tmp_path).removed == 1
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "files",
    [
        {"job.yaml": "x"},
        {"job.result.json": result("other")},
        {"job.result.json": result(schema=99)},
        {"job~x.result.json": result()},
        {f"{ID}.result.json": result()},
        {"job.envelope.yaml": "x", "job.result.json": result()},
        {"job.yaml": "x", "job.json": "{}", "job.result.json": result()},
        {"job.yaml": "x", "job.result.json": "{}"},
        {"job.yaml": "x", "job.result.json": "no JSON"},
        {"job.yaml": "x", "job.result.json": "[1]"},
        {"job.yaml": "x", "job.result.json": result("other")},
        {"job.yaml": "x", "job.result.json": result(queue_id="17")},
        {"job.yaml": "x", "job.result.json": result(queue_id=None)},
        {"job.yaml": "x", "job.result.json": result(schema=99)},
        {"job~x.yaml": "x", "job~x.result.json": result()},
        {".job.yaml": "x", ".job.result.json": result(".job")},
        {"job.yaml": "x", "job.result.json.tmp": result()},
        {"job.earlier.json": result()},
    ],
)
def test_what_is_not_ours_stays(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        put(tmp_path, name, text)
    assert clear(tmp_path).removed == 0
    assert left(tmp_path) == sorted(files)


# Without a job.  No test can set the time at which a file came to a folder, so these look from
# later on.

LATER = 2 * DAY_S
put_old = partial(put, age_s=NOW)


def clear_later(spool: SpoolFolder, after_s: float = LATER) -> OldJobs:
    """As one who clears failed/ of what lies there for a day, some time from now."""
    before = time.time() + after_s - DAY_S
    old = OldJobs(spool.failed, before, partial(waiting_names, spool))
    assert not old.step()
    return old


ALONE = [
    pytest.param("job.result.json", "job", id="result"),
    pytest.param(f"job~{ID}.result.json", "job", id="result of a second job of that name"),
    pytest.param("job~2.result.json", "job", id="result put back to failed/"),
    pytest.param("作业.result.json", "作业", id="result of any name"),
    pytest.param(f"{ID}.earlier.json", "any", id="result of another attempt, kept apart"),
]


@pytest.mark.parametrize(("file", "name"), ALONE)
def test_a_result_without_a_job_goes_as_well(folder: SpoolFolder, file: str, name: str) -> None:
    put_old(folder.failed, file, result(name))
    old = clear_later(folder)
    assert (old.removed, old.fault, left(folder.failed)) == (1, None, [])


@pytest.mark.parametrize(("file", "name"), ALONE)
def test_what_came_lately_stays_however_old_it_is(
    folder: SpoolFolder, file: str, name: str
) -> None:
    put_old(folder.failed, file, result(name))
    assert clear_later(folder, after_s=DAY_S / 2).removed == 0
    assert left(folder.failed) == [file]


@pytest.mark.parametrize(
    ("place", "waits"),
    [
        ("pickup", "job.yaml"),
        ("pickup", "job.json"),
        ("queue", f"{ID}.job.yaml"),
        ("queue", "01JDX0V6S3N2K7AC.job.eml"),
        ("queue", f"{ID}.other.yaml"),
    ],
)
def test_a_result_stays_while_a_job_that_may_need_it_waits(
    folder: SpoolFolder, place: str, waits: str
) -> None:
    put_old(folder.failed, "job.result.json", result())
    put_old(folder.failed, "else.result.json", result("else", "01JDX0V6S3N2K7AZ"))
    put_old(getattr(folder, place), waits)
    assert clear_later(folder).removed == 1
    assert left(folder.failed) == ["job.result.json"]
    (getattr(folder, place) / waits).unlink()
    assert clear_later(folder).removed == 1


def test_a_result_that_is_kept_apart_stays_while_its_job_waits(folder: SpoolFolder) -> None:
    put_old(folder.failed, f"{ID}.earlier.json")
    put_old(folder.queue, f"{ID}.job.yaml")
    assert clear_later(folder).removed == 0
    (folder.queue / f"{ID}.job.yaml").unlink()
    assert clear_later(folder).removed == 1


def test_a_job_that_comes_back_to_its_result_is_seen(folder: SpoolFolder) -> None:
    put_old(folder.failed, "job.result.json", result())

    def comes_meanwhile(wanted: frozenset[str]) -> set[str]:
        put_old(folder.failed, "job.yaml")
        return set()

    old = OldJobs(folder.failed, time.time() + DAY_S, comes_meanwhile)
    old.step()
    assert left(folder.failed) == ["job.result.json", "job.yaml"]


def test_where_waiting_jobs_cannot_be_seen_their_results_stay(folder: SpoolFolder) -> None:
    put_old(folder.failed, "alone.result.json", result("alone"))
    put_pair(folder.failed, age_s=NOW)
    folder.queue.rename(folder.root / "away")
    old = clear_later(folder)
    assert (old.removed, left(folder.failed)) == (1, ["alone.result.json"])
    assert old.fault == f"{folder.queue}: No such file or directory"


@pytest.mark.parametrize("name", ["job.result.json", f"{ID}.earlier.json"])
def test_links_and_folders_without_a_job_stay(folder: SpoolFolder, name: str) -> None:
    real = put_old(folder.root, "real", result())
    (folder.failed / name).symlink_to(real)
    assert clear_later(folder).removed == 0
    (folder.failed / name).unlink()
    (folder.failed / name).mkdir()
    assert clear_later(folder).removed == 0


@pytest.mark.parametrize("linked", ["job.yaml", "job.result.json"])
def test_links_stay_and_so_does_what_they_name(tmp_path: Path, linked: str) -> None:
    folder, elsewhere = tmp_path / "sent", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    put_pair(folder)
    (folder / linked).rename(elsewhere / linked)
    (folder / linked).symlink_to(elsewhere / linked)
    assert clear(folder).removed == 0
    assert left(folder) == ["job.result.json", "job.yaml"]
    assert left(elsewhere) == [linked]


def test_folders_under_a_jobs_name_stay(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").mkdir()
    put(tmp_path, "job.result.json", result())
    (tmp_path / "other.result.json").mkdir()
    assert (clear(tmp_path).removed, len(left(tmp_path))) == (0, 3)


def test_a_link_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    put_pair(real)
    link = tmp_path / "sent"
    link.symlink_to(real)
    old = clear(link)
    assert (old.removed, len(left(real))) == (0, 2)
    assert old.fault is not None
    assert str(link) in old.fault


def test_one_that_resists_keeps_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        put_pair(tmp_path, name)
    unlink = Path.unlink

    def resist(path: Path) -> None:
        if path.name == "b.yaml":
            raise PermissionError(1, "Operation not permitted")
        unlink(path)

    monkeypatch.setattr(Path, "unlink", resist)
    old = clear(tmp_path)
    assert (old.removed, left(tmp_path)) == (2, ["b.result.json", "b.yaml"])
    assert old.fault == f"{tmp_path / 'b.result.json'}: Operation not permitted"


def test_a_job_is_never_left_without_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_pair(tmp_path)
    unlink: Callable[[Path], None] = Path.unlink
    gone: list[str] = []

    def note(path: Path) -> None:
        gone.append(path.name)
        unlink(path)

    monkeypatch.setattr(Path, "unlink", note)
    clear(tmp_path)
    assert gone == ["job.yaml", "job.result.json"]


def test_many_go_in_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP_FILES", 10)
    for number in range(50):
        put_pair(tmp_path, f"job-{number}")
    old = OldJobs(tmp_path, NOW - DAY_S, nothing)
    removed = [0]
    while old.step():
        removed.append(old.removed)
    assert max(later - earlier for earlier, later in itertools.pairwise(removed)) <= 10
    assert (old.removed, left(tmp_path)) == (50, [])


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE_S", 0.0)
    monkeypatch.setattr(retention, "SHORTEST_WAIT_S", 0.01)


@pytest.mark.usefixtures("_quick")
async def test_the_jobs_of_the_daemon_itself_go(folder: SpoolFolder, store: SqliteStore) -> None:
    async with running(folder, store) as steps:
        for number, name in enumerate(("good", "bad"), 1):
            drop(folder, f"{name}.yaml")
            await steps.reach("accepted", number)
            await finish(store, ACCEPTED if name == "good" else REJECTED)
    await report(folder, store)
    assert left(folder.sent) == ["good.result.json", "good.yaml"]
    assert left(folder.failed) == ["bad.result.json", "bad.yaml"]
    settings = spool_settings(folder, keep_sent=0.0)
    service = Retention(folder, settings)
    with capture_logs() as logs:
        task = asyncio.create_task(service.run())
        async with asyncio.timeout(20):
            while left(folder.sent):
                await asyncio.to_thread(os.sched_yield)
        await service.stop()
        await task
    assert left(folder.failed) == ["bad.result.json", "bad.yaml"]
    (told,) = [it for it in logs if it["event"] == "old jobs removed"]
    assert (told["folder"], told["jobs"]) == ("sent", 1)


async def test_by_default_everything_is_kept(folder: SpoolFolder) -> None:
    put_pair(folder.sent, age_s=1e9)
    service = Retention(folder, spool_settings(folder))
    task = asyncio.create_task(service.run())
    await service.stop()
    await task
    assert len(left(folder.sent)) == 2


@pytest.mark.usefixtures("_quick")
async def test_a_folder_that_cannot_be_read_is_told_once(folder: SpoolFolder) -> None:
    folder.sent.rename(folder.root / "away")
    service = Retention(folder, spool_settings(folder, keep_sent=DAY_S), clock=lambda: NOW)
    with capture_logs() as logs:
        for _ in range(3):
            for kept in service._kept:
                await service._clear(kept)
    assert [it["event"] for it in logs] == ["old jobs cannot be removed"]
    assert str(folder.sent) in logs[0]["reason"]
