"""The daemon's life: start, run, stop, each in order; and reload.

It puts the rooms together and knows nothing of their work.  Order of start: lock, operators'
listener, pages, the modules of the mail half, store, sink, then reporting, delivery and intake,
and the control socket.  Order of stop: the services in the reverse, then all else, with what runs
given STOP_GRACE_S to finish.
A service that ends by an exception ends the daemon, since half a daemon that looks alive is worse
than none: its supervisor (systemd, say) starts it afresh, and the store goes on where it was.
"""

import asyncio
import gc
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import structlog

from asyncnet.config.sections import Settings
from asyncnet.mailqueue.store import Store, StoreAway, StoreError
from asyncnet.providers.builtin import catalogue
from asyncnet.providers.presets import Catalogue
from asyncnet.spool.errors import SpoolError
from asyncnet.spool.folder import SpoolFolder
from asyncnet.web.apart import ListenerApart
from asyncnet.web.listener import HttpListener
from asyncnet.web.ops.survey import Phase, Watched

if TYPE_CHECKING:
    from asyncnet.control.listener import ControlListener
    from asyncnet.delivery.account_book import AccountBook
    from asyncnet.delivery.agent import DeliveryAgent

STOP_GRACE_S = 5.0

# Python's default of 5 ms is what a busy loop keeps the interpreter for when the store's thread
# wants it back after each call into SQLite: under load it would commit 60 times a second.
SWITCH_INTERVAL_S = 0.0005

# Of new objects, before circles among them are looked for.  Nearly all that a job makes dies by
# itself; at Python's 700 the search takes a twentieth of a job's time and finds nothing.
COLLECT_AFTER = 20_000

# Half of all code, and none of it is needed to show a page: with all that they import, these come
# in when the pages answer already.  The methods that use them import from them again.
MAIL = (
    "asyncnet.mailqueue.opening",
    "asyncnet.mailqueue.sqlite",
    "asyncnet.mailqueue.clock_watch",
    "asyncnet.spool.reporter",
    "asyncnet.spool.retention",
    "asyncnet.spool.intake",
    "asyncnet.delivery.agent",
    "asyncnet.control.accounts",
    "asyncnet.control.listener",
    "asyncnet.control.queue",
)

log = structlog.get_logger()


class StartError(Exception):
    """The daemon cannot start as it is set up; str() is one line that says why."""


class PlaceTaken(StartError):
    """Somebody else holds a port or the spool, or the database is away: the settings are right,
    the moment is not.
    """


class Part(StrEnum):
    """What `serve --only` can pick."""

    WEB = "web"
    INTAKE = "intake"  # with reporting: who takes a job in files its result
    DELIVERY = "delivery"


class Service(Protocol):
    """A part that works until it is stopped; an exception out of run() is fatal."""

    async def run(self) -> None: ...


Stop = Callable[[], Awaitable[None]]


class Daemon:
    """Both network services over one store.  start(), then run(), then stop()."""

    def __init__(
        self,
        settings: Settings,
        *,
        parts: frozenset[Part] = frozenset(Part),
        providers: Catalogue | None = None,
        sockets: Mapping[str, Sequence[socket.socket]] | None = None,
        make_store: Callable[[Settings], Store] | None = None,
        on_step: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is opened yet.  providers: the table that comes with the program if None.

        sockets listen already: those of "http" and "ops" take the place of what is configured.
        make_store and on_step are for those who watch the daemon from within: the first gives
        the store, the second is told of each step of a job's life.
        """
        self.settings = settings
        self._parts = parts
        self._providers = providers or catalogue()
        self._make_store = make_store or self._store_of
        self._on_step = on_step
        self._sockets = sockets or {}
        self._watched = Watched()
        self._open = AsyncExitStack()
        self._services: dict[asyncio.Task[None], Stop] = {}
        self._something_ended = asyncio.Event()  # a service, or the time to run
        self._store: Store | None = None
        self._folder: SpoolFolder | None = None
        self._control: ControlListener | None = None
        self._book: AccountBook | None = None
        self._agent: DeliveryAgent | None = None
        self.http: ListenerApart | None = None
        self.ops: HttpListener | None = None

    async def start(self) -> None:
        """Open everything; from here on requests are answered and jobs are taken.

        Raises StartError; nothing stays open then.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.set_threshold(COLLECT_AFTER)
        try:
            await self._start_in_order()
        except BaseException:
            await self.stop()
            raise

    async def _start_in_order(self) -> None:
        if self._sockets.get("http") and Part.WEB not in self._parts:
            raise StartError("a socket for the pages was passed, and this part has no pages")
        if self._needs_spool:
            self._take_spool()
        await self._start_ops()
        if Part.WEB in self._parts:
            tally = self._watched.requests.note if self.ops is not None else None
            sockets = self._sockets.get("http", ())
            self.http = ListenerApart(
                HttpListener(self.settings.http, sockets=sockets, on_answer=tally)
            )
            await self._start_listener(self.http, "[http] listen")
            self._watched.pages = self.http
        if self._parts != {Part.WEB}:
            await asyncio.to_thread(import_mail)
            await self._open_store()
            await self._start_sink()
            await self._start_mail()
            await self._start_control()
        self._watched.phase = Phase.RUNNING
        self._log_ready()

    @property
    def _needs_spool(self) -> bool:
        """Whether jobs are taken here, or the queue itself lies here.

        Who only delivers what a database holds leaves the spool to the one who takes jobs.
        """
        mail = self._parts != {Part.WEB}
        return mail and (Part.INTAKE in self._parts or self.settings.queue.server is None)

    def _take_spool(self) -> None:
        folder = SpoolFolder(self.settings.spool.dir)
        try:
            folder.prepare()
        except SpoolError as error:
            raise StartError(f"[spool] dir: {error}") from error
        try:
            folder.lock()
        except SpoolError as error:
            raise PlaceTaken(str(error)) from error
        self._open.callback(folder.unlock)
        try:
            folder.try_moves()
        except SpoolError as error:
            raise StartError(f"[spool] dir: {error}") from error
        self._folder = folder
        self._watched.spool = folder.root

    async def _start_ops(self) -> None:
        """Early and with any part, so that health can be asked for while the rest comes up."""
        sockets = self._sockets.get("ops", ())
        if self.settings.ops.listen or sockets:
            from asyncnet.web.ops.listening import operators_listener, warn_of_others  # heavy

            self.ops = operators_listener(self.settings.ops, self._watched, sockets)
            await self._start_listener(self.ops, "[ops] listen")
            warn_of_others(self.ops.endpoints)

    async def _open_store(self) -> None:
        try:
            store = self._make_store(self.settings)
            await store.open(time.time())
        except StoreAway as error:
            raise PlaceTaken(str(error)) from error
        except StoreError as error:
            raise StartError(str(error)) from error
        self._open.push_async_callback(store.close)
        self._store = self._watched.store = store

    def _store_of(self, settings: Settings) -> Store:
        from asyncnet.mailqueue.opening import make_store

        takes_jobs = Part.INTAKE in self._parts
        spool = settings.spool.dir
        return make_store(settings.queue, settings.database, spool, takes_jobs=takes_jobs)

    async def _start_listener(self, listener: HttpListener | ListenerApart, key: str) -> None:
        try:
            await listener.start()
        except OSError as error:
            raise PlaceTaken(f"{key}: {error.strerror or error}") from error
        self._open.push_async_callback(listener.stop, STOP_GRACE_S)

    async def _start_sink(self) -> None:
        if not self.settings.sink.listen:
            return
        try:
            from asyncnet.lab.sink import Sink  # heavy, and only for trying things out
        except ModuleNotFoundError as error:
            raise StartError(
                f"[sink] listen: the test sink needs the package {error.name}; install "
                "'asyncnet[sink]', or take [sink] listen out"
            ) from error
        sink = Sink(self.settings.sink.listen, self.settings.sink.maildir)
        try:
            await sink.start()
        except OSError as error:
            raise PlaceTaken(f"[sink] listen: {error.strerror or error}") from error
        self._open.push_async_callback(sink.stop)

    async def _start_mail(self) -> None:
        """Reporting, delivery, intake; they stop in the reverse order."""
        from asyncnet.delivery.account_book import AccountBook
        from asyncnet.delivery.agent import DeliveryAgent
        from asyncnet.mailqueue.clock_watch import ClockWatch
        from asyncnet.spool.intake import Intake
        from asyncnet.spool.reporter import Reporter
        from asyncnet.spool.retention import Retention

        assert self._store is not None
        settings, store, folder = self.settings, self._store, self._folder
        step = self._on_step
        if Part.INTAKE in self._parts:
            assert folder is not None
            keep_s = settings.queue.dedup_window
            reporter = Reporter(folder, store, keep_s=keep_s, on_step=step)
            self._run(reporter, reporter.stop)
            self._watched.waits["reporter"] = lambda: reporter.waits_for
            retention = Retention(folder, settings.spool)
            self._run(retention, retention.stop)
        if Part.DELIVERY in self._parts:
            agent = DeliveryAgent(
                store,
                settings.account,
                settings.queue,
                providers=self._providers,
                on_settled=None if self.ops is None else self._watched.settlements.note,
            )
            self._book, self._agent = agent.book, agent
            watch = ClockWatch(store)
            self._run(watch, watch.stop)
            self._run(agent, partial(agent.stop, STOP_GRACE_S))
        else:
            self._book = AccountBook(store, settings.account, self._providers)
        self._watched.standings = self._book.standings
        self._watched.min_free_octets = settings.spool.min_free
        if Part.INTAKE in self._parts:
            assert folder is not None
            accounts = settings.account
            intake = Intake(folder, store, settings.spool, settings.queue, accounts, on_step=step)
            self._run(intake, intake.stop)
            self._watched.waits["intake"] = lambda: intake.waits_for
            # What is dropped from now on is noticed at once.
            await intake.begun.wait()

    async def _start_control(self) -> None:
        """Let commands ask and act; without the socket all else still works."""
        from asyncnet.control.listener import ControlListener

        if self._folder is None:
            return  # the one who has the spool answers
        control = ControlListener(self._folder.root)
        try:
            await control.start()
        except OSError as error:
            log.warning("no control socket: commands cannot reach the daemon", reason=str(error))
            return
        self._open.push_async_callback(control.stop)
        self._control = control
        self._hand_out_verbs()

    def _hand_out_verbs(self) -> None:
        """All that can be asked at the control socket, over the services as they are now."""
        from asyncnet.control.accounts import AccountVerbs
        from asyncnet.control.queue import QueueVerbs

        if self._control is not None and self._book is not None and self._store is not None:
            self._control.verbs = {
                **AccountVerbs(self._book, self._store).table(),
                **QueueVerbs(self._store, self.settings.account, self._agent).table(),
            }

    def _run(self, service: Service, stop: Stop) -> None:
        task = asyncio.create_task(service.run(), name=type(service).__name__)
        # Also of those that a reload starts, while run() waits for what there was before.
        task.add_done_callback(lambda _: self._something_ended.set())
        self._services[task] = stop

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until stopping is set.  Raises what a service died of."""
        waiter = asyncio.create_task(stopping.wait(), name="stopping")
        waiter.add_done_callback(lambda _: self._something_ended.set())
        try:
            while not waiter.done():
                await self._something_ended.wait()
                self._something_ended.clear()
                for task in [task for task in self._services if task.done()]:
                    del self._services[task]
                    task.result()
        finally:
            waiter.cancel()

    async def reload(self, settings: Settings, providers: Catalogue | None = None) -> None:
        """Go on with other settings: accounts, providers, queue and spool rules at once.

        What is bound or open stays as it is ([http], [ops], [sink], the spool's place, the store):
        a change there is told, and takes a restart.
        """
        for name in ("http", "ops", "sink"):
            if getattr(settings, name) != getattr(self.settings, name):
                log.warning("setting needs a restart", section=name)
        if (settings.spool.dir, settings.queue.url) != (
            self.settings.spool.dir,
            self.settings.queue.url,
        ):
            log.warning("setting needs a restart", section="spool.dir, queue.url")
        await self._stop_services()
        self.settings = settings
        self._providers = providers or catalogue()
        if self._store is not None:
            await self._start_mail()
            self._hand_out_verbs()
        log.info("reloaded", accounts=list(settings.account))

    async def stop(self) -> None:
        """Stop in order; what runs gets STOP_GRACE_S.  Nothing is lost.  May be called twice."""
        self._watched.phase = Phase.STOPPING
        await self._stop_services()
        await self._open.aclose()

    async def _stop_services(self) -> None:
        """Intake first, so that nothing new comes; reporting last, so that all is told."""
        for task, stop in reversed(list(self._services.items())):
            await stop()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error(
                    "service failed while stopping", service=task.get_name(), error=str(error)
                )
        self._services.clear()

    def _log_ready(self) -> None:
        pickup = None if self._folder is None else str(self._folder.pickup)
        ops = {} if self.ops is None else {"ops": _addresses(self.ops)}
        log.info("ready", pages=_addresses(self.http), **ops, pickup=pickup, pid=os.getpid())


def import_mail() -> None:
    """Import what start() needs for all parts but the pages."""
    for name in MAIL:
        import_module(name)


def _addresses(listener: HttpListener | ListenerApart | None) -> list[str]:
    return [] if listener is None else [f"http://{place}" for place in listener.endpoints]
