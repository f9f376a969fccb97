"""Threads for reads that may hang for ever, from a server that is gone, say.

Those of ThreadPoolExecutor are joined when the interpreter ends, whatever they hang in.  These
are daemon threads: what they do is cut off then, and must bear it.
"""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Calls = SimpleQueue[Callable[[], None] | None]


class UnwaitedThreads(Executor):
    """Up to so many threads, each begun when it is needed; idle ones end with the object.

    submit() is for one thread alone.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._threads = 0
        self._idle = threading.Semaphore(0)
        self._calls: _Calls = SimpleQueue()
        weakref.finalize(self, self._calls.put, None)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self._calls.put(partial(_do, future, partial(fn, *args, **kwargs)))
        if not self._idle.acquire(blocking=False) and self._threads < self._most:
            name = f"{self._name}_{self._threads}"
            self._threads += 1
            call = (self._calls, self._idle)
            threading.Thread(target=_work, args=call, name=name, daemon=True).start()
        return future


def _work(calls: _Calls, idle: threading.Semaphore) -> None:
    while (call := calls.get()) is not None:
        call()
        del call  # and with it what it read
        idle.release()
    calls.put(None)  # for the next of them


def _do(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # whatever it is, it belongs to the one who asked
        future.set_exception(error)
        del future, call  # the error's traceback holds this frame: no circle is left
