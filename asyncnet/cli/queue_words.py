"""`asyncnet queue hold`, `release`, `retry` and `cancel`: a person's word to jobs that wait.

Said through the running daemon, page by page, or to the store where none runs.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncnet.cli import asking, exit_codes
from asyncnet.cli.settings import read_settings
from asyncnet.config.sections import Settings
from asyncnet.control.client import NoDaemon
from asyncnet.control.queue import QueueVerbs
from asyncnet.mailqueue.store import Store

Document = dict[str, Any]

# What a job's effect says of the whole command; the first that is met is its exit code.
_TELLING = (
    ("unknown", exit_codes.DATA),
    ("finished", exit_codes.UNAVAILABLE),
    ("passed_over", exit_codes.UNAVAILABLE),
    ("under_way", exit_codes.TEMPFAIL),
)


@dataclass(frozen=True, slots=True)
class Which:
    """The jobs that are meant, as the command line says it."""

    keys: Sequence[str] = ()
    account: str | None = None
    states: Sequence[str] = ()
    everything: bool = False

    @property
    def terms(self) -> bool:
        """Whether ids, names, an account or a state say it."""
        return bool(self.keys or self.account is not None or self.states)

    def arguments(self, reason: str | None) -> Document:
        said = {
            "keys": list(self.keys),
            "account": self.account,
            "states": list(self.states),
            "all": self.everything,
            "reason": reason,
        }
        return {name: value for name, value in said.items() if value}


def say(
    word: str, which: Which, config: Path | None, reason: str | None = None, *, as_json: bool
) -> int:
    """Say the word to the jobs that are meant; print what it did to each.

    Ends with 0 when they are as the word wants them, 65 when a key names no job, 69 when one is
    finished or not among those asked for, 75 when one is being sent, so that it is not yet clear.
    """
    settings = read_settings(config)
    jobs: list[Document] = []
    effects: set[str] = set()
    try:
        pages = _through_daemon(settings, f"queue.{word}", which.arguments(reason))
        for page in pages:
            effects |= {_effect(word, it) for it in page}
            jobs += _shown(page, as_json=as_json)
    except NoDaemon:
        page = _on_the_store(settings, f"queue.{word}", which.arguments(reason))
        effects |= {_effect(word, it) for it in page}
        jobs += _shown(page, as_json=as_json)
        if not as_json and word != "retry":  # whose own words tell it
            print("no daemon runs; it counts from its next start on", file=sys.stderr)
    if as_json:
        print(json.dumps(jobs, ensure_ascii=False, indent=2))
    elif not effects:
        print("asyncnet: no job that waits is meant", file=sys.stderr)
    return next((code for effect, code in _TELLING if effect in effects), exit_codes.OK)


def _through_daemon(settings: Settings, verb: str, arguments: Document) -> Iterator[list[Document]]:
    """Page by page.  Raises NoDaemon, for the first one only in practice, and CommandFailed."""
    after = None
    while True:
        said = arguments if after is None else {**arguments, "after": after}
        answer = asking.answer(settings, verb, said)
        yield answer["jobs"]
        after = answer["after"]
        if after is None:
            return


def _on_the_store(settings: Settings, verb: str, arguments: Document) -> list[Document]:
    async def act(store: Store) -> list[Document]:
        ask = QueueVerbs(store, settings.account, running=False).table()[verb]
        jobs: list[Document] = []
        said = arguments
        while True:
            answer = await ask(said)
            assert isinstance(answer, dict)
            jobs += answer["jobs"]
            if answer["after"] is None:
                return jobs
            said = {**arguments, "after": answer["after"]}

    return asking.on_the_store(settings, act)


def _effect(word: str, job: Document) -> str:
    """What the job's effect means for the exit code."""
    if word in ("release", "retry") and job["effect"] == "under_way":
        return "done"  # it is being sent, which is what was asked for
    if word == "cancel" and job["effect"] == "finished" and job["status"] == "canceled":
        return "done"
    return str(job["effect"])


def _shown(page: list[Document], *, as_json: bool) -> list[Document]:
    """Print a page, unless all are to be printed at the end."""
    if as_json:
        return page
    for job in page:
        if job["effect"] == "unknown":
            print(f"asyncnet: {job['text']}", file=sys.stderr)
        else:
            print(f"{job['name']} ({job['queue_id']}) {job['text']}")
    return []
