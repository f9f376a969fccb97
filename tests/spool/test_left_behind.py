"""What an earlier run left in queue/, among any number of jobs that are in order."""

import os
from collections.abc import Collection

import pytest

from asyncnet.spool import folder as folder_module
from asyncnet.spool import left_behind as room
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.left_behind import left_behind
from asyncnet.spool.queue_id import QueueIds

IDS = QueueIds()


def new_id() -> str:
    return IDS.next(1_800_000_000.0, 0)


def put(folder: SpoolFolder, name: str) -> None:
    (folder.queue / name).touch()


class Rows:
    """A store that knows some queue ids; asked tells the most that it was asked for at once."""

    def __init__(self, *queue_ids: str) -> None:
        self._queue_ids = frozenset(queue_ids)
        self.asked = 0

    async def known(self, queue_ids: Collection[str]) -> frozenset[str]:
        self.asked = max(self.asked, len(queue_ids))
        return self._queue_ids.intersection(queue_ids)


async def test_what_has_a_row_is_passed_over(folder: SpoolFolder) -> None:
    first, second, third = new_id(), new_id(), new_id()
    put(folder, f"{third}.c.yaml")
    put(folder, f"{first}.a.yaml")
    put(folder, f"{second}.b.yaml")
    put(folder, f"{second}.b.result.json")
    put(folder, f"{second}.msg")
    left = await left_behind(folder, Rows(second).known)
    assert [claim.name for claim in left.claims] == ["a", "c"]
    assert left.companions == []


async def test_companions_without_a_job_are_told_and_those_of_a_row_are_not(
    folder: SpoolFolder,
) -> None:
    alone, beside, reported = new_id(), new_id(), new_id()
    put(folder, f"{alone}.mail.envelope.yaml")
    put(folder, f"{beside}.mail.envelope.yaml")
    put(folder, f"{beside}.mail.eml")
    put(folder, f"{reported}.mail.result.json")
    left = await left_behind(folder, Rows(reported).known)
    assert [it.queue_id for it in left.companions] == [alone]
    assert [it.queue_id for it in left.claims] == [beside]


async def test_files_of_others_are_left_alone(folder: SpoolFolder) -> None:
    for name in ("notes.txt", "x", f"{new_id()}.msg", os.fsdecode(b"\xff\xfe")):
        put(folder, name)
    left = await left_behind(folder, Rows().known)
    assert (left.claims, left.companions) == ([], [])


async def test_any_number_of_rows_is_met_a_few_at_a_time(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait there, only those without a row become claims, which are held."""
    made = 0
    claim_of = folder_module.claim_of

    def counting(name: str) -> object:
        nonlocal made
        made += 1
        return claim_of(name)

    monkeypatch.setattr(room, "claim_of", counting)
    monkeypatch.setattr(room, "NAMES_A_QUERY", 16)
    ids = [new_id() for _ in range(100)]
    for queue_id in ids:
        put(folder, f"{queue_id}.job.yaml")
    rows = Rows(*ids[1:])
    left = await left_behind(folder, rows.known)
    assert [claim.queue_id for claim in left.claims] == ids[:1]
    assert rows.asked <= 16
    assert made == 1
