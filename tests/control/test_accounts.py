"""The verbs on accounts over a real store: what they do, answer and refuse."""

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asyncnet.config.sections import AccountSettings
from asyncnet.control.accounts import MAX_REASON, AccountVerbs, documents
from asyncnet.control.protocol import RefusalKind, Refused
from asyncnet.delivery.account_book import AccountBook
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import AccountState, Backlog, Store
from asyncnet.providers.builtin import catalogue

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
ACCOUNTS = {"work": AccountSettings(host="work.test"), "home": AccountSettings(host="home.test")}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = SqliteStore(tmp_path / "queue.db", tmp_path / "queue", dedup_window_s=1.0)
    await store.open(NOW)
    yield store
    await store.close()


@pytest.fixture
def verbs(store: Store) -> AccountVerbs:
    return AccountVerbs(AccountBook(store, ACCOUNTS, catalogue()), store, lambda: NOW)


def state(found: list[dict[str, Any]], name: str) -> str:
    return next(str(it["state"]) for it in found if it["name"] == name)


async def test_all_accounts_are_listed_by_name(verbs: AccountVerbs, store: Store) -> None:
    await store.set_account_state(AccountState("gone", "down", NOW + 60, NOW, 2, "no route"))
    found = await verbs.list_all({})
    assert [(it["name"], it["state"]) for it in found] == [
        ("gone", "down"),
        ("home", "ok"),
        ("work", "ok"),
    ]


async def test_a_held_account_stays_held_until_it_is_released(
    verbs: AccountVerbs, store: Store
) -> None:
    (held,) = await verbs.hold({"names": ["work"], "reason": "holiday"})
    assert (held["state"], held["held_by_person"], held["until"]) == ("held", True, None)
    assert (held["since"], held["reason"]) == ("2027-01-15T08:00:00Z", "holiday")
    assert (await store.account_states())["work"].until == math.inf
    (released,) = await verbs.release({"names": ["work"]})
    assert (released["state"], released["held_by_person"]) == ("ok", False)


async def test_several_at_once_are_done_or_none(verbs: AccountVerbs) -> None:
    with pytest.raises(Refused, match=r"no account 'wrok'; did you mean 'work'\?") as caught:
        await verbs.hold({"names": ["home", "wrok"]})
    assert caught.value.kind is RefusalKind.UNKNOWN
    assert state(await verbs.list_all({}), "home") == "ok"
    assert len(await verbs.hold({"names": ["home", "work"]})) == 2


async def test_an_account_of_the_store_alone_can_be_released(
    verbs: AccountVerbs, store: Store
) -> None:
    """Its mail waits although the settings do not know it any more."""
    await store.set_account_state(AccountState("gone", "held", math.inf, NOW, 0, "by hand"))
    (released,) = await verbs.release({"names": ["gone"]})
    assert released["state"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "names is a list"),
        ({"names": []}, "names is a list"),
        ({"names": "work"}, "names is a list"),
        ({"names": [3]}, "names is a list"),
        ({"names": ["work"], "reason": 3}, "a reason is one line"),
        ({"names": ["work"], "reason": "a\nb"}, "a reason is one line"),
        ({"names": ["work"], "reason": "\x1b[31m"}, "a reason is one line"),
        ({"names": ["work"], "reason": "x" * (MAX_REASON + 1)}, "a reason is one line"),
        ({"names": ["work"], "until": 3}, "unknown argument 'until'"),
    ],
)
async def test_bad_arguments_are_refused(
    verbs: AccountVerbs, arguments: dict[str, object], told: str
) -> None:
    with pytest.raises(Refused, match=told) as caught:
        await verbs.hold(arguments)
    assert caught.value.kind is RefusalKind.USAGE
    assert state(await verbs.list_all({}), "work") == "ok"


async def test_a_closed_store_is_told_as_a_matter_of_time(
    verbs: AccountVerbs, store: Store
) -> None:
    await store.close()
    for call in (verbs.list_all({}), verbs.hold({"names": ["work"]})):
        with pytest.raises(Refused, match="closed") as caught:
            await call
        assert caught.value.kind is RefusalKind.UNAVAILABLE


def test_times_are_those_that_say_something() -> None:
    def until(state: AccountState) -> object:
        (found,) = documents({"a": state}, {"a": Backlog(2, NOW + 5)}, NOW)
        assert (found["waiting"], found["due_at"]) == (2, "2027-01-15T08:00:05Z")
        return found["until"]

    assert until(AccountState("a")) is None
    assert until(AccountState("a", "down", NOW + 60, NOW)) == "2027-01-15T08:01:00Z"
    assert until(AccountState("a", "down", NOW - 60, NOW)) is None  # it is tried right now
    assert until(AccountState("a", "held", math.inf, NOW)) is None
    assert until(AccountState("a", "held", 1e300, NOW)) is None
