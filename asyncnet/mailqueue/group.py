"""Group commits for what is done within asyncio: whatever waits goes together, with one flush."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Given = TypeVar("Given")
Taken = TypeVar("Taken")

MAX_BATCH = 500  # bounds how long the first of a batch waits for the last


class GroupCommit(Generic[Given, Taken]):
    """Runs one batch at a time; whatever comes meanwhile makes up the next.

    run gives an answer, or an error of its own, for each of a batch, all or nothing committed.
    A batch that fails by one of unsound is done again one by one, so that one damaged call fails
    alone.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Given]], Awaitable[Sequence[Taken | Exception]]],
        *,
        unsound: tuple[type[Exception], ...] = (),
        max_batch: int = MAX_BATCH,
    ) -> None:
        self._run = run
        self._unsound = unsound
        self._max_batch = max_batch
        self._waiting: list[tuple[Given, asyncio.Future[Taken]]] = []
        self._worker: asyncio.Task[None] | None = None

    def submit(self, given: Given) -> asyncio.Future[Taken]:
        """Hand a call over; a cancelled future does not call it back."""
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._waiting.append((given, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return future

    async def drained(self) -> None:
        """Return when everything handed over is answered."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        # The loop's turn ends first: all calls of one turn go together.
        await asyncio.sleep(0)
        try:
            while self._waiting:
                batch = self._waiting[: self._max_batch]
                del self._waiting[: self._max_batch]
                await self._answer(batch)
        finally:
            self._worker = None

    async def _answer(self, batch: list[tuple[Given, asyncio.Future[Taken]]]) -> None:
        try:
            answers = await self._run([given for given, _ in batch])
        except self._unsound as error:
            if len(batch) > 1:
                for one in batch:
                    await self._answer([one])
            else:
                _tell(batch[0][1], error)
            return
        except Exception as error:  # whatever it is, it belongs to those who asked
            for _, future in batch:
                _tell(future, error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            _tell(future, answer)


def _tell(future: asyncio.Future[Taken], answer: Taken | Exception) -> None:
    if future.done():
        return  # its caller was cancelled
    if isinstance(answer, Exception):
        # One of its own for each: a traceback grows with every raise.
        future.set_exception(answer)
    else:
        future.set_result(answer)
