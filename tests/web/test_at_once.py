"""A coroutine begun at once does what a task would do, on both loops."""

import asyncio
import gc
import inspect
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from asyncnet.web.at_once import begin


def test_work_that_never_waits_is_done_when_begin_returns() -> None:
    done = []

    async def work() -> None:
        done.append(1)

    assert begin(work()) is None
    assert done == [1]


def test_what_work_raises_comes_out_of_begin() -> None:
    async def work() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        begin(work())


def rest_of(work: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    rest = begin(work)
    assert rest is not None
    return rest


def test_the_rest_is_a_coroutine_as_a_task_wants_one() -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    rest = rest_of(work())
    assert inspect.iscoroutine(rest)  # more than a generator of types.coroutine since 3.12
    rest.close()


async def test_the_rest_gets_what_is_waited_for_however_often() -> None:
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(3)]

    async def work() -> list[int]:
        return [await future for future in futures]

    task = asyncio.Task(rest_of(work()))
    for number, future in enumerate(futures):
        future.set_result(number)
        await asyncio.sleep(0)
    assert await task == [0, 1, 2]


async def test_a_turn_of_the_loop_can_be_waited_for() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "later"

    assert await asyncio.Task(rest_of(work())) == "later"


async def test_a_fault_that_is_waited_for_reaches_the_work() -> None:
    future = asyncio.get_running_loop().create_future()

    async def work() -> str:
        try:
            await future
        except ValueError as fault:
            return str(fault)
        return "none"

    task = asyncio.Task(rest_of(work()))
    future.set_exception(ValueError("there"))
    assert await task == "there"


async def test_a_cancelled_task_cancels_the_work_where_it_waits() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(1)

    task = asyncio.Task(rest_of(work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [1]


async def test_work_may_answer_a_cancellation() -> None:
    async def work() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return "too slow"
        return "in time"

    task = asyncio.Task(rest_of(work()))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "too slow"


async def test_a_cancelled_one_leaves_nothing_to_the_cycle_collector() -> None:
    class Held:
        pass

    async def work() -> None:
        held = Held()
        alive.append(weakref.ref(held))
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return

    alive: list[weakref.ref[Held]] = []
    task = asyncio.Task(rest_of(work()))
    await asyncio.sleep(0)
    gc.disable()
    try:
        task.cancel()
        await task
        assert alive[0]() is None
    finally:
        gc.enable()
