"""How an account stands in the queue, as a stage of its check-up."""

import time
from time import perf_counter
from typing import Any

from asyncnet.config.sections import Settings
from asyncnet.control.accounts import documents
from asyncnet.control.client import NoDaemon, ask
from asyncnet.control.protocol import ControlError
from asyncnet.delivery.checkup.stages import Cause, Finding, Stage
from asyncnet.mailqueue.opening import open_reader, queue_exists
from asyncnet.mailqueue.store import StoreError

_ASK_S = 5.0  # a daemon that is busy for longer is no matter here
_CAUSES = {"held": Cause.HELD, "throttled": Cause.THROTTLED, "down": Cause.DOWN}


def standing_stage(name: str, settings: Settings) -> Stage:
    """Whether its mail goes out or waits, and why.  A waiting account is a warning."""
    begun_s = perf_counter()
    running, found = _documents(settings)
    took_s = perf_counter() - begun_s
    who = "the daemon" if running else "no daemon runs; the queue"
    known = next((it for it in found if it["name"] == name), None)
    if known is None:
        return Stage("queue", Finding.OK, f"{who} knows no trouble of it", took_s)
    waiting = f"{known['waiting']} waiting" if known["waiting"] else "nothing waits"
    if known["state"] == "ok":
        return Stage("queue", Finding.OK, f"{who} has it as ok, {waiting}", took_s)
    until = f" until {known['until']}" if known["until"] else ""
    told = f"{who} has it as {known['state']} since {known['since']}{until}, {waiting}"
    return Stage(
        "queue",
        Finding.WARNING,
        f"{told}: {known['reason']}",
        took_s,
        cause=_CAUSES[known["state"]],
        advice=f"when that is put right: asyncnet account release {name}",
    )


def _documents(settings: Settings) -> tuple[bool, list[dict[str, Any]]]:
    """Whether a daemon runs, and how the accounts stand."""
    try:
        return True, ask(settings.spool.dir, "account.list", {}, answer_s=_ASK_S)
    except NoDaemon:
        pass
    except ControlError:
        return True, []
    if not queue_exists(settings.queue, settings.database):
        return False, []
    try:
        with open_reader(settings.queue, settings.database) as reader:
            return False, documents(reader.account_states(), reader.backlogs(), time.time())
    except StoreError:
        return False, []
