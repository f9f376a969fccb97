"""The order in which the writer does what waits, and how much of it goes into a commit."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from threading import Event, Thread

import apsw
import pytest

from asyncnet.mailqueue import writer as room
from asyncnet.mailqueue.contentfile import SharedFlush
from asyncnet.mailqueue.store import StoreError
from asyncnet.mailqueue.writer import Urgency, Writer


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    writer = Writer(tmp_path / "queue.db")
    await writer.start()
    yield writer
    await writer.stop()


class Busy:
    """Holds the writer's thread until it is let go, and notes what is done after that."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._go = Event()
        self.begun = asyncio.Event()
        self.done: list[tuple[str, int]] = []  # with the number of commits before it
        self._loop = asyncio.get_running_loop()

    def hold(self, cursor: apsw.Cursor) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self._go.wait(20.0)

    def let_go(self) -> None:
        self._go.set()

    def submit(self, name: str, urgency: Urgency) -> asyncio.Future[None]:
        def run(cursor: apsw.Cursor) -> None:
            self.done.append((name, self._writer.commits))

        return self._writer.submit(run, urgency=urgency)


async def test_marks_and_then_verdicts_go_before_whatever_else_waits(writer: Writer) -> None:
    busy = Busy(writer)
    holding = writer.submit(busy.hold)
    await busy.begun.wait()
    waiting = [busy.submit(f"job {n}", Urgency.NONE) for n in range(3)]
    await asyncio.sleep(0)  # handed over, before the others
    waiting += [
        busy.submit("verdict", Urgency.VERDICT),
        busy.submit("job 3", Urgency.NONE),
        busy.submit("mark", Urgency.MARK),
        busy.submit("second verdict", Urgency.VERDICT),
    ]
    await asyncio.sleep(0)
    busy.let_go()
    await asyncio.gather(holding, *waiting)
    jobs = [f"job {n}" for n in range(4)]
    assert [name for name, _ in busy.done] == ["mark", "verdict", "second verdict", *jobs]
    assert len({commits for _, commits in busy.done}) == 1


async def test_any_number_of_new_jobs_keeps_a_verdict_waiting_for_few_of_them(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAX_AT_LEISURE", 5)
    busy = Busy(writer)
    holding = writer.submit(busy.hold)
    await busy.begun.wait()
    waiting = [busy.submit(f"job {n}", Urgency.NONE) for n in range(12)]
    await asyncio.sleep(0)
    busy.let_go()
    await asyncio.gather(holding, *waiting)
    commits = [commits for _, commits in busy.done]
    assert [commits.count(number) for number in sorted(set(commits))] == [5, 5, 2]
    assert [name for name, _ in busy.done] == [f"job {n}" for n in range(12)]


async def test_operations_of_one_step_that_stand_together_are_one_call_of_it(
    writer: Writer,
) -> None:
    calls: list[list[int]] = []

    def doubled(cursor: apsw.Cursor, numbers: Sequence[int]) -> list[int]:
        calls.append(list(numbers))
        return [2 * number for number in numbers]

    answers = [writer.join(doubled, number) for number in range(3)]
    alone = writer.submit(lambda cursor: calls.append([]))
    answers.append(writer.join(doubled, 3))
    urgent = writer.join(doubled, 4, urgency=Urgency.MARK)
    assert await asyncio.gather(*answers, urgent) == [0, 2, 4, 6, 8]
    await alone
    assert calls == [[4, 0, 1, 2], [], [3]]


async def test_an_operation_that_fails_takes_no_other_of_its_step_along(writer: Writer) -> None:
    def made(cursor: apsw.Cursor, names: Sequence[str]) -> list[str]:
        for name in names:
            cursor.execute(f"CREATE TABLE {name} (x)")
        return list(names)

    answers = await asyncio.gather(
        *(writer.join(made, name) for name in ("one", "two", "one", "three")),
        return_exceptions=True,
    )
    assert [it if isinstance(it, str) else type(it) for it in answers] == [
        "one",
        "two",
        StoreError,
        "three",
    ]
    assert writer.commits == 1


async def test_what_comes_after_the_end_fails_by_its_future(writer: Writer) -> None:
    await writer.stop()
    too_late = writer.submit(lambda cursor: None)
    with pytest.raises(StoreError, match="closed"):
        await too_late


async def test_what_waits_at_the_end_is_done(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "queue.db")
    await writer.start()
    busy = Busy(writer)
    waiting = [busy.submit("job", Urgency.NONE), busy.submit("mark", Urgency.MARK)]
    busy.let_go()
    await writer.stop()
    await asyncio.gather(*waiting)
    assert [name for name, _ in busy.done] == ["mark", "job"]


def test_a_flush_serves_those_who_asked_before_it_began_and_nobody_else() -> None:
    flushes = 0
    under_way, go_on = Event(), Event()

    def flush() -> None:
        nonlocal flushes
        flushes += 1
        if flushes == 1:
            under_way.set()
            assert go_on.wait(20.0)

    shared = SharedFlush(flush)
    first = Thread(target=shared.wait)
    first.start()
    assert under_way.wait(20.0)
    others = [Thread(target=shared.wait) for _ in range(4)]
    for thread in others:
        thread.start()
    go_on.set()
    for thread in (first, *others):
        thread.join(20.0)
    # The first began too early for the four; how they share depends on when they came.
    assert 2 <= flushes <= 5
    shared.wait()
    assert flushes >= 3


def test_who_asks_while_a_flush_fails_asks_again() -> None:
    failing = True

    def flush() -> None:
        if failing:
            raise OSError("no descriptors")

    shared = SharedFlush(flush)
    with pytest.raises(OSError, match="no descriptors"):
        shared.wait()
    failing = False
    shared.wait()
