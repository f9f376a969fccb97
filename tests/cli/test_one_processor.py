"""All threads of the daemon on one processor, whichever the system gives."""

import asyncio
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from asyncnet.cli import one_processor
from tests.support.daemon import config_text, running

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="LEFT OUT: this system has no such thing"
)


def told(script: str) -> list[str]:
    """What a process of its own says: this one stays as it is."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


BEGINNING = """
import asyncio, os, threading
from asyncnet.cli import one_processor

asked = []
keep_to = one_processor._keep_to
def note(processors):
    keep_to(processors)
    asked.append(frozenset(processors))
one_processor._keep_to = note
one_processor.ASKING_S = one_processor.ASK_EVERY_S = 0.001
allowed = frozenset(os.sched_getaffinity(0))
"""


def test_all_threads_stay_on_one_of_those_allowed_and_the_choice_is_made_anew() -> None:
    script = """
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()

    async def main():
        staying = asyncio.create_task(one_processor.stay_on_one())
        while len(asked) < 6 and not staying.done():
            await asyncio.sleep(0)
        staying.cancel()
        await asyncio.wait([staying])
        threads = {frozenset(os.sched_getaffinity(int(it))) for it in os.listdir("/proc/self/task")}
        print(len(threads), *map(len, threads), *(it <= allowed for it in threads))

    asyncio.run(main())
    done.set()
    print(asked[::2] == [allowed] * len(asked[::2]))
    print(all(len(it) == 1 and it < allowed for it in asked[1::2]))
    """
    if len(os.sched_getaffinity(0)) == 1:
        assert told(BEGINNING + textwrap.dedent(script))[0] == "1 1 True"
    else:
        assert told(BEGINNING + textwrap.dedent(script)) == ["1 1 True", "True", "True"]


def test_with_one_processor_there_is_nothing_to_do() -> None:
    script = """
    os.sched_setaffinity(0, {min(allowed)})
    asyncio.run(one_processor.stay_on_one())
    print(asked)
    """
    assert told(BEGINNING + textwrap.dedent(script)) == ["[]"]


async def test_where_the_system_refuses_the_daemon_goes_on_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: int, processors: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    await asyncio.wait_for(one_processor.stay_on_one(), timeout=10)


several = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) == 1,
    reason="LEFT OUT: there is one processor for us",
)


@several
def test_without_descriptors_it_tries_again() -> None:
    script = """
    import resource

    some, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    failed = []
    def note_failure(processors, noting=one_processor._keep_to):
        try:
            noting(processors)
        except OSError as error:
            failed.append(error)
            raise
    one_processor._keep_to = note_failure

    async def until(condition, staying):
        while not condition() and not staying.done():
            await asyncio.sleep(0)

    async def main():
        staying = asyncio.create_task(one_processor.stay_on_one())
        await until(lambda: len(asked) >= 2, staying)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, most))
        await until(lambda: len(failed) >= 2, staying)
        resource.setrlimit(resource.RLIMIT_NOFILE, (some, most))
        seen = len(asked)
        await until(lambda: len(asked) >= seen + 4, staying)
        print(failed[0].strerror, staying.done())
        staying.cancel()

    asyncio.run(main())
    """
    assert told(BEGINNING + textwrap.dedent(script)) == ["Too many open files False"]


@several
def test_a_refusal_later_on_leaves_all_that_are_allowed_open() -> None:
    script = """
    present = one_processor._present
    def refused_later():
        if len(asked) < 4:
            return present()
        one_processor._keep_to = refuse_once
        return present()
    def refuse_once(processors):
        one_processor._keep_to = note
        os.sched_setaffinity(0, [present()])  # as far as it got
        os.sched_setaffinity(0, [])  # which no system takes
    one_processor._present = refused_later

    asyncio.run(one_processor.stay_on_one())
    print(os.sched_getaffinity(0) == allowed)
    """
    assert told(BEGINNING + textwrap.dedent(script)) == ["True"]


async def test_the_daemon_does_so(tmp_path: Path) -> None:
    async with running(tmp_path, config_text(tmp_path, 9)) as daemon:
        threads = Path(f"/proc/{daemon.process.pid}/task")
        async with asyncio.timeout(10):
            while any(len(os.sched_getaffinity(int(it))) > 1 for it in os.listdir(threads)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
