"""One look at the daemon: what metrics, health and the queue page are made of.

Whoever asks within the same second gets the same look, so that no number of viewers and probes
adds up to a burden.  Each look is bounded in time: a store that does not answer, or a folder that
hangs, is itself the news.
"""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from asyncnet.config.values import size_in_words
from asyncnet.mailqueue.store import AccountState, Census, Ended, Store, StoreError
from asyncnet.web.apart import ListenerApart
from asyncnet.web.listener import HttpListener
from asyncnet.web.ops.tally import RequestTally, SettlementTally

FRESH_S = 1.0  # half of what the queue page waits between two looks
ASK_S = 3.0  # for all the store's answers, and again for the disk's
RESULTS = 20  # jobs that finished last: a screenful

_SERVER_KEY = "server "  # how the Route.key of a job's own server begins


class Phase(StrEnum):
    """Where the daemon is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(slots=True)
class Watched:
    """What there is to look at; the supervisor fills it in.  None: this process has none.

    standings tells how all accounts stand, also those of which the store has not heard yet;
    waits, by the name of a service, what fault of this machine it waits for, None: for none.
    """

    phase: Phase = Phase.STARTING
    pages: HttpListener | ListenerApart | None = None
    store: Store | None = None
    standings: Callable[[], Awaitable[Mapping[str, AccountState]]] | None = None
    waits: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    spool: Path | None = None
    min_free_octets: int = 0
    requests: RequestTally = field(default_factory=RequestTally)
    settlements: SettlementTally = field(default_factory=SettlementTally)


@dataclass(frozen=True, slots=True)
class Survey:
    """How things stood at a time.  census is None where no store is, or none answered.

    store_trouble and disk_trouble say what is wrong, None: nothing.  waiting tells which service
    waits, and for what.
    """

    at: float
    phase: Phase
    census: Census | None = None
    states: Mapping[str, AccountState] = field(default_factory=dict)
    latest: tuple[Ended, ...] = ()
    store_trouble: str | None = None
    free_octets: int | None = None
    disk_trouble: str | None = None
    waiting: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """Why the daemon is not ready; empty: it is."""
        phase = [] if self.phase is Phase.RUNNING else [f"the daemon is {self.phase}"]
        troubles = (self.store_trouble, self.disk_trouble)
        return phase + [trouble for trouble in troubles if trouble is not None] + [*self.waiting]


class Surveyor:
    """Takes the surveys.  clock gives seconds since the epoch, timer seconds that only grow."""

    def __init__(
        self,
        watched: Watched,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.watched = watched
        self._clock = clock
        self._timer = timer
        self._lock = asyncio.Lock()
        self._last: Survey | None = None
        self._taken_at = 0.0

    async def survey(self) -> Survey:
        """A survey not older than FRESH_S, and of the present phase."""
        async with self._lock:
            last = self._last
            stale = self._timer() - self._taken_at > FRESH_S
            if last is None or stale or last.phase is not self.watched.phase:
                last = self._last = await self._take()
                self._taken_at = self._timer()
            return last

    async def _take(self) -> Survey:
        watched, now = self.watched, self._clock()
        census, states, latest, store_trouble = await self._ask_store()
        free_octets, disk_trouble = await self._look_at_disk()
        waiting = [(service, waits_for()) for service, waits_for in watched.waits.items()]
        return Survey(
            *(now, watched.phase, census, states, latest),
            store_trouble=store_trouble,
            free_octets=free_octets,
            disk_trouble=disk_trouble,
            waiting=tuple(f"{service} waits: {why}" for service, why in waiting if why),
        )

    async def _ask_store(
        self,
    ) -> tuple[Census | None, Mapping[str, AccountState], tuple[Ended, ...], str | None]:
        store, standings = self.watched.store, self.watched.standings
        if store is None:
            return None, {}, (), None
        try:
            async with asyncio.timeout(ASK_S):
                census = await store.census()
                latest = tuple(await store.latest(RESULTS))
                states = await (store.account_states if standings is None else standings)()
        except TimeoutError:
            return None, {}, (), f"the store gave no answer within {ASK_S:g} s"
        except StoreError as error:
            return None, {}, (), str(error)
        return census, states, latest, None

    async def _look_at_disk(self) -> tuple[int | None, str | None]:
        spool, least = self.watched.spool, self.watched.min_free_octets
        if spool is None:
            return None, None
        try:
            async with asyncio.timeout(ASK_S):
                free_octets = await asyncio.to_thread(_free_octets, spool)
        except TimeoutError:
            return None, f"the spool's disk gave no answer within {ASK_S:g} s"
        except OSError as error:
            return None, f"the spool cannot be looked at: {error.strerror or error}"
        if free_octets < least:
            left = size_in_words(free_octets)
            trouble = f"the spool's disk has {left} left, less than min_free"
            return free_octets, trouble
        return free_octets, None


def is_server(key: str) -> bool:
    """Whether a Route.key is of a server that a job names itself, and of no account."""
    return key.startswith(_SERVER_KEY)


def _free_octets(folder: Path) -> int:
    return shutil.disk_usage(folder).free
