"""Large contents and the rows that speak of them: which of both is on the disk first."""

import asyncio
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from asyncnet.mail.letter import Content, ContentError, Octets
from asyncnet.mailqueue.contentfile import ContentFolder
from asyncnet.mailqueue.steps import Arrival
from asyncnet.mailqueue.store import Acceptance, StoreBroken, StoreError
from tests.mailqueue.engines import SqliteEngine
from tests.mailqueue.faulty_disk import Disk, faulty_disk
from tests.mailqueue.messages import ACCEPTED, DEFERRED, LARGE, NOW, leased, message, settled


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


async def test_contents_that_come_together_share_a_file_its_flush_and_a_commit(
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
    assert flushed == [("Q1.msg", 0), ("queue", 0)]
    assert store.commits - commits == 1
    assert sqlite.content_files() == ["Q1.msg"]


async def test_one_that_cannot_be_written_fails_alone(
    sqlite: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file for all of them finds no room, each has one for itself."""

    def full(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > LARGE.octets:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", full)
    store = await sqlite.open()
    larger = Octets(LARGE.data + b"x")
    contents: list[Content] = [LARGE, Shrunken(), LARGE, larger, LARGE, LARGE]
    names = [*ids(5), "../Q6"]
    outcomes = await asyncio.gather(
        *(store.accept(message(it), of, NOW) for it, of in zip(names, contents, strict=True)),
        return_exceptions=True,
    )
    kinds = [type(it) for it in outcomes]
    assert kinds == [Acceptance, ContentError, Acceptance, StoreError, Acceptance, ValueError]
    assert sqlite.content_files() == ["Q1.msg", "Q3.msg", "Q5.msg"]
    assert await store.known(ids(6)) == {"Q1", "Q3", "Q5"}
    monkeypatch.undo()
    assert await store.accept(message("Q4"), LARGE, NOW) is Acceptance.QUEUED


@pytest.mark.parametrize("failing", ["Q1.msg", "queue"])
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
            folder.write(queue_id, [LARGE])
        except StoreError as error:
            return error
        return None

    fsync, folder = os.fsync, ContentFolder(tmp_path)
    monkeypatch.setattr(os, "fsync", fail_once)
    first, *others = [written(it) for it in ids(3)]
    assert isinstance(first, StoreError)
    assert [type(it) for it in others] == [then] * 2
    assert len({id(it) for it in (first, *others) if it is not None}) == (3 if others[0] else 1)
    assert not faults
    kept = [] if others[0] else ["Q2.msg", "Q3.msg"]
    assert sorted(os.listdir(tmp_path)) == kept


def other(number: int) -> Octets:
    """As long as LARGE, and different for each number."""
    return Octets(bytes([number]) * LARGE.octets)


async def test_each_gets_its_own_octets_out_of_the_file_that_they_share(
    sqlite: SqliteEngine,
) -> None:
    store = await sqlite.open()
    await asyncio.gather(
        *(store.accept(message(it), other(n), NOW) for n, it in enumerate(ids(40)))
    )
    assert len(sqlite.content_files()) == 2  # thirty-two share one
    for lease in await store.lease(NOW, 100):
        octets = b"".join(store.content(lease).blocks())
        assert octets == other(int(lease.queue_id[1:]) - 1).data


async def test_a_file_stays_for_the_last_that_needs_it_also_over_a_start(
    sqlite: SqliteEngine,
) -> None:
    store = await sqlite.open()
    await asyncio.gather(*(store.accept(message(it), other(n), NOW) for n, it in enumerate(ids(3))))
    for queue_id in ("Q1", "Q3"):
        leases = {lease.queue_id: lease for lease in await store.lease(NOW, 10)}
        await store.settle(leases[queue_id], settled(ACCEPTED), NOW)
        await store.mark_reported([queue_id])
        assert sqlite.content_files() == ["Q1.msg"]
        store = await sqlite.open()
        assert sqlite.content_files() == ["Q1.msg"]
    lease = await leased(store, "Q2")
    assert b"".join(store.content(lease).blocks()) == other(1).data
    await store.settle(lease, settled(ACCEPTED), NOW)
    assert sqlite.content_files() == ["Q1.msg"]
    await store.mark_reported(["Q2"])
    assert sqlite.content_files() == []


@pytest.mark.parametrize("twice", [False, True], ids=["needed", "a duplicate"])
async def test_a_file_stays_for_one_that_has_no_row_yet(
    sqlite: SqliteEngine, monkeypatch: pytest.MonkeyPatch, twice: bool
) -> None:
    """The other one is through before: nobody but us knows of the second."""
    store = await sqlite.open()
    go_on, insert = asyncio.Event(), store._insert

    async def late(arrival: Arrival) -> Acceptance:
        await go_on.wait()
        return await insert(arrival)

    def held_up(arrival: Arrival) -> asyncio.Future[Acceptance]:
        if arrival.message.claim.queue_id == "Q2":
            return asyncio.ensure_future(late(arrival))
        return insert(arrival)

    monkeypatch.setattr(store, "_insert", held_up)
    job_id = "order-7" if twice else None
    first = store.accept(message("Q1", job_id="order-7"), LARGE, NOW)
    second = asyncio.ensure_future(store.accept(message("Q2", job_id=job_id), other(2), NOW))
    try:
        await first
        await store.settle(await leased(store, "Q1"), settled(ACCEPTED), NOW)
        await store.mark_reported(["Q1"])
        assert sqlite.content_files() == ["Q1.msg"]
    finally:
        go_on.set()
        acceptance = await second
    if twice:
        assert acceptance is Acceptance.DUPLICATE
    else:
        assert acceptance is Acceptance.QUEUED
        lease = await leased(store, "Q2")
        assert b"".join(store.content(lease).blocks()) == other(2).data
        await store.settle(lease, settled(ACCEPTED), NOW)
        await store.mark_reported(["Q2"])
    assert sqlite.content_files() == []


async def test_one_that_cannot_have_a_row_is_not_in_flight_for_ever(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    odd, good = message("Q1", meta={"it": object()}), message("Q2")
    outcomes = await asyncio.gather(
        store.accept(odd, LARGE, NOW), store.accept(good, LARGE, NOW), return_exceptions=True
    )
    assert [type(it) for it in outcomes] == [TypeError, Acceptance]
    await store.settle(await leased(store, "Q2"), settled(ACCEPTED), NOW)
    await store.mark_reported(["Q2"])
    assert sqlite.content_files() == []


async def test_one_that_came_twice_leaves_the_file_to_its_other_contents(
    sqlite: SqliteEngine,
) -> None:
    store = await sqlite.open()
    first = await asyncio.gather(*(store.accept(message(it), LARGE, NOW) for it in ids(2)))
    again = await asyncio.gather(*(store.accept(message(it), other(0), NOW) for it in ids(3)))
    assert [*first, *again] == [
        *([Acceptance.QUEUED] * 2),
        *([Acceptance.KNOWN] * 2),
        Acceptance.QUEUED,
    ]
    assert sqlite.content_files() == ["Q1.msg", "Q1~2.msg"]
    leases = await store.lease(NOW, 10)
    assert [lease.queue_id for lease in leases] == ids(3)
    for lease, content in zip(leases, (LARGE, LARGE, other(0)), strict=True):
        assert b"".join(store.content(lease).blocks()) == content.data


async def test_what_is_sent_while_its_like_wait_for_days_keeps_few_octets_on_the_disk(
    sqlite: SqliteEngine,
) -> None:
    store = await sqlite.open()
    await asyncio.gather(*(store.accept(message(it), LARGE, NOW) for it in ids(100)))
    for lease in await store.lease(NOW, 100):
        verdict = DEFERRED if lease.queue_id == "Q50" else ACCEPTED
        await store.settle(lease, settled(verdict), NOW)
    await store.mark_reported(ids(100))
    (left,) = sqlite.content_files()
    assert (sqlite.folder / "queue" / left).stat().st_size <= 4 * 1024 * 1024


# A file that is there already.


async def test_the_file_of_a_known_message_is_never_touched(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), LARGE, NOW)
    assert await store.accept(message("Q1"), other(1), NOW) is Acceptance.KNOWN
    assert sqlite.content_files() == ["Q1.msg"]
    assert (sqlite.folder / "queue" / "Q1.msg").read_bytes() == LARGE.data


async def test_a_file_that_was_left_without_a_row_is_in_nobodys_way(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    (sqlite.folder / "queue" / "Q1.msg").write_bytes(b"left behind")
    assert await store.accept(message("Q1"), LARGE, NOW) is Acceptance.QUEUED
    assert b"".join(store.content(await leased(store, "Q1")).blocks()) == LARGE.data
    await sqlite.open()
    assert sqlite.content_files() == ["Q1~2.msg"]


def test_what_failed_late_does_not_remove_the_next_owner_s_file(tmp_path: Path) -> None:
    """Its read may have hung until another swept the file and wrote one of the same name."""
    place = tmp_path / "Q1.msg"

    class Late(Shrunken):
        def blocks(self) -> Iterator[bytes]:
            yield from super().blocks()
            place.unlink()
            place.write_bytes(b"another's")

    with pytest.raises(ContentError):
        ContentFolder(tmp_path).write("Q1", [Late()])
    assert place.read_bytes() == b"another's"
    with pytest.raises(ContentError):
        ContentFolder(tmp_path).write("Q2", [Shrunken()])
    assert not (tmp_path / "Q2.msg").exists()


def test_a_write_that_is_cut_short_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a signal, or by a disk that has room for a part."""

    def short(descriptor: int, buffers: Sequence[bytes]) -> int:
        return write(descriptor, b"".join(buffers)[: LARGE.octets + 7])

    write = os.write
    monkeypatch.setattr(os, "writev", short)
    monkeypatch.setattr(os, "write", lambda descriptor, octets: write(descriptor, octets[:70_000]))
    folder = ContentFolder(tmp_path)
    contents = [LARGE, other(1), other(2)]
    places = folder.write("Q1", contents)
    for place, content in zip(places, contents, strict=True):
        assert b"".join(folder.content(place, content.octets).blocks()) == content.data
