"""Coroutines that seldom wait: begun at once, and a task only for what is left.

A task, and the turn of the loop that it takes to begin, are a tenth of what an ordinary request
costs, whose octets are there before anybody asks for them.  From Python 3.12 on asyncio has
this as Task(eager_start=True).
"""

from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")


def begin(work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T] | None:
    """Run work up to where it has to wait; None: it has ended.

    What comes back is for a task of the same loop.  What is run here has no current_task(), so
    asyncio.timeout() cannot be used in it.  Raises what work raises.
    """
    try:
        waited_for = work.send(None)
    except StopIteration:
        return None
    return _rest(work, waited_for)


async def _rest(work: Coroutine[Any, Any, T], waited_for: object) -> T:
    # A generator alone is no coroutine to the Task of Python 3.12.
    return await _go_on(work, waited_for)


@coroutine
def _go_on(work: Coroutine[Any, Any, T], waited_for: object) -> Generator[Any, Any, T]:
    """As `yield from work`, which knows no coroutine that has begun."""
    while True:
        try:
            # No name keeps the error: its traceback holds this frame, which would be a cycle.
            try:
                sent = yield waited_for
            except BaseException as error:  # CancelledError above all: it is work's to judge
                waited_for = work.throw(error)
            else:
                waited_for = work.send(sent)
        except StopIteration as end:
            return cast("T", end.value)
