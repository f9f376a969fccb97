"""`asyncnet serve`: the daemon in a process, with its signals, logs and exit codes."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from asyncnet.cli import activation, exit_codes, logs
from asyncnet.cli.giving_way import give_way
from asyncnet.cli.one_processor import stay_on_one
from asyncnet.cli.settings import load_providers, read_settings
from asyncnet.config.file import ConfigError, load
from asyncnet.config.sections import Settings
from asyncnet.delivery.accounts import AccountError, resolve
from asyncnet.mailqueue.store import StoreBroken, StoreError
from asyncnet.providers.presets import Catalogue
from asyncnet.spool.errors import SpoolBroken
from asyncnet.supervisor import Daemon, Part, PlaceTaken, StartError

log = structlog.get_logger()


def run(config: Path | None, only: Sequence[str] | None) -> int:
    """Serve until a signal; returns the exit code.  Raises CommandFailed before the start."""
    settings = read_settings(config)
    logs.configure(settings.log)
    parts = frozenset(Part(name) for name in only) if only else frozenset(Part)
    try:
        providers = providers_for(settings, config)
    except ConfigError as error:
        raise exit_codes.CommandFailed(exit_codes.CONFIG, error.problems) from error
    try:
        sockets = activation.take_sockets(os.environ)
    except activation.UnusableSocket as error:
        raise exit_codes.CommandFailed(exit_codes.CONFIG, [str(error)]) from error
    daemon = Daemon(settings, parts=parts, providers=providers, sockets=sockets)

    def reload() -> tuple[Settings, Catalogue]:
        settings = load(config)
        return settings, providers_for(settings, config)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(serve(daemon, reload))


def providers_for(settings: Settings, config: Path | None) -> Catalogue:
    """The table of providers, once every account is found to be complete with it.

    Raises ConfigError: an account of an unknown preset would only be noticed by its first mail.
    """
    providers = load_providers(config)
    problems = []
    for name, account in settings.account.items():
        try:
            resolve(name, account, providers)
        except AccountError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(problems)
    return providers


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed, else None: asyncio's own."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


Reload = Callable[[], tuple[Settings, Catalogue]]


async def serve(daemon: Daemon, reload: Reload) -> int:
    """Start, run until SIGTERM or SIGINT, stop.  Returns the exit code."""
    stopping = asyncio.Event()
    hang_up = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, hang_up.set)
    try:
        await daemon.start()
    except StartError as error:
        print(f"asyncnet: {error}", file=sys.stderr)
        return exit_codes.UNAVAILABLE if isinstance(error, PlaceTaken) else exit_codes.CONFIG
    activation.notify("READY=1", os.environ)
    beside = [
        asyncio.create_task(_reload_on(hang_up, daemon, reload)),
        asyncio.create_task(stay_on_one()),
        asyncio.create_task(give_way()),
    ]
    try:
        await daemon.run(stopping)
    except (StoreBroken, SpoolBroken) as error:
        log.critical("the disk failed us; start afresh", error=str(error))
        return exit_codes.TEMPFAIL
    except StoreError as error:
        log.critical("the store is away; start again when it is back", error=str(error))
        return exit_codes.TEMPFAIL
    finally:
        for task in beside:
            task.cancel()
        activation.notify("STOPPING=1", os.environ)
        log.info("stopping")
        await daemon.stop()
        log.info("stopped")
    return exit_codes.OK


async def _reload_on(hang_up: asyncio.Event, daemon: Daemon, reload: Reload) -> None:
    while True:
        await hang_up.wait()
        hang_up.clear()
        try:
            settings, providers = reload()
        except ConfigError as error:
            for problem in error.problems:
                log.error("settings not reloaded; the old ones stay", problem=problem)
        else:
            await daemon.reload(settings, providers)
