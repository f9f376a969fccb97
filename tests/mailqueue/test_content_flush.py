"""Large contents and the rows that speak of them: which of both is on the disk first."""

import asyncio
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from asyncnet.mail.letter import ContentError, Octets
from asyncnet.mailqueue.contentfile import ContentFolder
from asyncnet.mailqueue.store import Acceptance, StoreBroken, StoreError
from tests.mailqueue.engines import SqliteEngine
from tests.mailqueue.faulty_disk import Disk, faulty_disk
from tests.mailqueue.messages import ACCEPTED, LARGE, NOW, leased, message, settled


class Shrunken:
    """Content that is less than it promised."""

    octets = LARGE.octets

    def blocks(self) -> Iterator[bytes]:
        yield LARGE.data[:-1]


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Ask for it before the engine: it must outlive the connections."""
    with faulty_disk() as disk:
        yield disk


async def test_a_content_file_and_its_name_are_flushed_before_the_row(
    sqlite: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await sqlite.open()
    commits, fsync = store.commits, os.fsync
    done: list[tuple[str, int, int]] = []

    def watched(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        fsync(descriptor)
        octets = (sqlite.folder / "queue" / "Q1.msg").stat().st_size
        done.append((name, octets, store.commits - commits))

    monkeypatch.setattr(os, "fsync", watched)
    await store.accept(message("Q1"), LARGE, NOW)
    assert done == [("Q1.msg", LARGE.octets, 0), ("queue", LARGE.octets, 0)]
    assert store.commits - commits == 1


async def test_a_content_file_stays_until_it_is_committed_that_it_goes(
    disk: Disk, sqlite: SqliteEngine
) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), LARGE, NOW)
    await store.settle(await leased(store, "Q1"), settled(ACCEPTED), NOW)
    disk.flushes_fail = True
    with pytest.raises(StoreBroken):
        await store.mark_reported(["Q1"])
    assert sqlite.content_files() == ["Q1.msg"]


# Several at once.


def ids(number: int) -> list[str]:
    return [f"Q{n}" for n in range(1, number + 1)]


async def test_contents_that_come_together_share_a_flush_of_their_names_and_a_commit(
    sqlite: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await sqlite.open()
    commits, fsync = store.commits, os.fsync
    flushed: list[tuple[str, int]] = []

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        flushed.append((name, store.commits - commits))

    monkeypatch.setattr(os, "fsync", watched)
    await asyncio.gather(*(store.accept(message(it), LARGE, NOW) for it in ids(5)))
    assert flushed == [*((f"{it}.msg", 0) for it in ids(5)), ("queue", 0)]
    assert store.commits - commits == 1


async def test_one_that_cannot_be_written_fails_alone(
    sqlite: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("Q4.msg"):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", full)
    store = await sqlite.open()
    outcomes = await asyncio.gather(
        *(
            store.accept(message(it), Shrunken() if it == "Q2" else LARGE, NOW)
            for it in [*ids(5), "../Q6"]
        ),
        return_exceptions=True,
    )
    kinds = [type(it) for it in outcomes]
    assert kinds == [Acceptance, ContentError, Acceptance, StoreError, Acceptance, ValueError]
    assert sqlite.content_files() == ["Q1.msg", "Q3.msg", "Q5.msg"]
    assert await store.known(ids(6)) == {"Q1", "Q3", "Q5"}
    monkeypatch.undo()
    assert await store.accept(message("Q4"), LARGE, NOW) is Acceptance.QUEUED


@pytest.mark.parametrize("failing", ["Q2.msg", "queue"])
async def test_a_flush_that_fails_is_the_end_for_all_of_them(
    sqlite: SqliteEngine, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(f"/{failing}"):
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    store, fsync = await sqlite.open(), os.fsync
    monkeypatch.setattr(os, "fsync", fail)
    outcomes = await asyncio.gather(
        *(store.accept(message(it), LARGE, NOW) for it in ids(3)), return_exceptions=True
    )
    assert [type(it) for it in outcomes] == [StoreBroken] * 3
    assert sqlite.content_files() == []
    with pytest.raises(StoreBroken):
        await store.accept(message("Q9"), LARGE, NOW)


@pytest.mark.parametrize(("number", "then"), [(errno.EIO, StoreBroken), (errno.ENOSPC, type(None))])
def test_after_a_failed_flush_of_the_names_there_is_no_good_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, then: type
) -> None:
    """Want of room is no such failure: nothing was dropped."""
    faults = [OSError(number, os.strerror(number))]

    def fail_once(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")) == tmp_path and faults:
            raise faults.pop()
        fsync(descriptor)

    def written(queue_id: str) -> Exception | None:
        try:
            (error,) = folder.write([(queue_id, LARGE)])
        except StoreBroken as broken:
            return broken
        return error

    fsync, folder = os.fsync, ContentFolder(tmp_path)
    monkeypatch.setattr(os, "fsync", fail_once)
    first, *others = [written(it) for it in ids(3)]
    assert isinstance(first, StoreError)
    assert [type(it) for it in others] == [then] * 2
    assert len({id(it) for it in (first, *others) if it is not None}) == (3 if others[0] else 1)
    assert not faults
    kept = [] if others[0] else ["Q2.msg", "Q3.msg"]
    assert sorted(os.listdir(tmp_path)) == kept


# A file that is there already.


async def test_the_file_of_a_known_message_is_never_touched(
    sqlite: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), LARGE, NOW)
    other = Octets(b"z" * LARGE.octets)
    assert await store.accept(message("Q1"), other, NOW) is Acceptance.KNOWN

    async def away(queue_ids: Iterable[str]) -> frozenset[str]:
        raise StoreError("busy")

    monkeypatch.setattr(store, "known", away)
    with pytest.raises(StoreError, match="busy"):
        await store.accept(message("Q1"), other, NOW)
    assert (sqlite.folder / "queue" / "Q1.msg").read_bytes() == LARGE.data


async def test_a_file_that_was_left_without_a_row_is_written_anew(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    (sqlite.folder / "queue" / "Q1.msg").write_bytes(b"left behind")
    assert await store.accept(message("Q1"), LARGE, NOW) is Acceptance.QUEUED
    assert (sqlite.folder / "queue" / "Q1.msg").read_bytes() == LARGE.data


def test_what_failed_late_does_not_remove_the_next_owner_s_file(tmp_path: Path) -> None:
    """Its read may have hung until another swept the file and wrote one of the same name."""
    place = tmp_path / "Q1.msg"

    class Late(Shrunken):
        def blocks(self) -> Iterator[bytes]:
            yield from super().blocks()
            place.unlink()
            place.write_bytes(b"another's")

    (error,) = ContentFolder(tmp_path).write([("Q1", Late())])
    assert isinstance(error, ContentError)
    assert place.read_bytes() == b"another's"
    (error,) = ContentFolder(tmp_path).write([("Q2", Shrunken())])
    assert isinstance(error, ContentError)
    assert not (tmp_path / "Q2.msg").exists()
