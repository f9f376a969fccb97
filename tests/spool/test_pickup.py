"""Which files are ready: by event at once, by scan when they stood still."""

import math
import os
from pathlib import Path

import pytest

from asyncnet.spool.pickup import Pickup

NOW = 1_795_343_400.0


@pytest.fixture
def pickup(tmp_path: Path) -> Pickup:
    return Pickup(tmp_path, settle_s=2.0, grace_s=30.0)


def drop(folder: Path, name: str, *, written_at: float = NOW, text: str = "x") -> os.stat_result:
    (folder / name).write_text(text)
    os.utime(folder / name, (written_at, written_at))
    return (folder / name).stat()


def ready(pickup: Pickup) -> list[str]:
    names = []
    while pickup.ready:
        names.append(pickup.next())
    return names


def scan(pickup: Pickup, now: float) -> list[str]:
    pickup.compare(pickup.look(), now)
    return ready(pickup)


def test_an_event_makes_ready_at_once_and_in_order(pickup: Pickup) -> None:
    for name in ("b.yaml", "a.yaml", "b.yaml", "logo.png", ".c.yaml"):
        pickup.notice(name)
    assert pickup.bell.is_set()
    assert ready(pickup) == ["b.yaml", "a.yaml"]


def test_with_events_a_file_is_as_old_as_it_says(pickup: Pickup, tmp_path: Path) -> None:
    pickup.followed = True
    drop(tmp_path, "old.yaml", written_at=NOW - 2.0)
    drop(tmp_path, "new.yaml", written_at=NOW - 1.9)
    assert scan(pickup, NOW) == ["old.yaml"]


def test_without_events_only_what_was_seen_counts(pickup: Pickup, tmp_path: Path) -> None:
    drop(tmp_path, "a.yaml", written_at=NOW - 1000)
    assert scan(pickup, NOW) == []
    assert scan(pickup, NOW + 1.9) == []
    assert scan(pickup, NOW + 2.0) == ["a.yaml"]


def test_a_file_that_still_grows_is_not_ready(pickup: Pickup, tmp_path: Path) -> None:
    for second in range(6):
        drop(tmp_path, "a.yaml", written_at=NOW - 500, text="x" * second)
        assert scan(pickup, NOW + second) == []
    assert scan(pickup, NOW + 7) == ["a.yaml"]


def test_a_time_in_the_future_keeps_no_file_waiting(pickup: Pickup, tmp_path: Path) -> None:
    pickup.followed = True
    status = drop(tmp_path, "a.yaml", written_at=NOW + 86_400)
    assert scan(pickup, NOW) == []
    assert scan(pickup, NOW + 2) == ["a.yaml"]
    assert pickup.may_wait("a.yaml", status, NOW + 2)
    assert not pickup.may_wait("a.yaml", status, NOW + 30)


def test_an_unfinished_file_is_looked_at_again_when_its_grace_is_over(
    pickup: Pickup, tmp_path: Path
) -> None:
    status = drop(tmp_path, "a.yaml")
    assert pickup.may_wait("a.yaml", status, NOW)
    assert scan(pickup, NOW + 29.9) == []
    assert scan(pickup, NOW + 30) == ["a.yaml"]
    assert not pickup.may_wait("a.yaml", status, NOW + 30)


def test_an_unfinished_file_that_changes_gets_its_grace_anew(
    pickup: Pickup, tmp_path: Path
) -> None:
    assert pickup.may_wait("a.yaml", drop(tmp_path, "a.yaml"), NOW)
    longer = drop(tmp_path, "a.yaml", written_at=NOW + 20, text="xx")
    assert scan(pickup, NOW + 21) == []
    assert scan(pickup, NOW + 23) == ["a.yaml"]
    assert pickup.may_wait("a.yaml", longer, NOW + 49)
    assert not pickup.may_wait("a.yaml", longer, NOW + 50)


def test_an_old_unfinished_file_waits_no_more(pickup: Pickup, tmp_path: Path) -> None:
    assert not pickup.may_wait("a.yaml", drop(tmp_path, "a.yaml", written_at=NOW - 31), NOW)


def test_a_file_that_is_put_off_is_left_alone_until_then(pickup: Pickup, tmp_path: Path) -> None:
    pickup.followed = True
    status = drop(tmp_path, "a.yaml", written_at=NOW - 100)
    pickup.put_off("a.yaml", status, NOW + 30)
    assert scan(pickup, NOW) == []
    assert scan(pickup, NOW + 30) == ["a.yaml"]


def test_a_job_that_may_have_company_is_not_looked_at_earlier_for_that(
    pickup: Pickup, tmp_path: Path
) -> None:
    status = drop(tmp_path, "a.yaml")
    assert pickup.may_settle("a.yaml", status, NOW)
    assert not pickup.may_settle("a.yaml", status, NOW + 2)
    pickup.put_off("a.yaml", status, NOW + 30)
    assert pickup.may_settle("a.yaml", status, NOW + 3)
    assert scan(pickup, NOW + 29) == []


def test_the_next_scan_comes_when_the_next_file_is_ready(pickup: Pickup, tmp_path: Path) -> None:
    assert pickup.compare(pickup.look(), NOW) == math.inf
    drop(tmp_path, "a.yaml")
    assert pickup.compare(pickup.look(), NOW) == NOW + 2
    drop(tmp_path, "b.yaml")
    assert pickup.compare(pickup.look(), NOW + 1) == NOW + 2


def test_what_is_gone_is_forgotten(pickup: Pickup, tmp_path: Path) -> None:
    drop(tmp_path, "a.yaml")
    assert scan(pickup, NOW) == []
    (tmp_path / "a.yaml").unlink()
    assert scan(pickup, NOW + 5) == []
    drop(tmp_path, "a.yaml")
    assert scan(pickup, NOW + 6) == []


def test_folders_are_no_jobs(pickup: Pickup, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    assert pickup.look() == {}
