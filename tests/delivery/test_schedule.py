"""When messages are tried again, and when accounts in trouble are."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.config.sections import QueueSettings
from asyncnet.delivery.judgement import Action, Judgement
from asyncnet.delivery.schedule import next_attempt, probe_delay_s
from asyncnet.delivery.standing import (
    HELD_REASON,
    UNKNOWN_HINT,
    UNUSABLE_HINT,
    at_start,
    held,
    held_by_person,
    released,
    troubled,
    unknown,
)
from asyncnet.mail.verdict import Kind, RecipientStatus, Scope, Verdict
from asyncnet.mailqueue.store import AccountState

NEVER = math.inf
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


def trouble(
    kind: Kind, delay_s: float | None = None, delay_max_s: float | None = None
) -> Judgement:
    verdict = Verdict(RecipientStatus.DEFERRED, 454, kind=kind, text="why", hint="do this")
    return Judgement(verdict, Scope.ACCOUNT, Action.HOLD_ACCOUNT, delay_s, delay_max_s)


def test_the_schedule_is_the_one_written_in_the_design() -> None:
    settings = QueueSettings()
    minutes = [next_attempt(settings, n, 0.0, NEVER, 0.5) / MINUTE for n in range(12)]
    assert minutes == [0, 1, 2, 5, 10, 20, 40, 60, 120, 240, 240, 240]


def test_jitter_goes_both_ways_and_no_further() -> None:
    settings = QueueSettings(jitter=0.2)
    assert next_attempt(settings, 1, 1000.0, NEVER, 0.0) == 1048.0
    assert next_attempt(settings, 1, 1000.0, NEVER, 1.0) == 1072.0


@given(
    attempts=st.integers(0, 10_000),
    now=st.floats(0, 1e10),
    life=st.floats(0, 1e7),
    chance=st.floats(0, 1, exclude_max=True),
    delay_s=st.none() | st.floats(0, 1e6),
)
def test_the_next_attempt_lies_between_now_and_the_end(
    attempts: int, now: float, life: float, chance: float, delay_s: float | None
) -> None:
    at = next_attempt(QueueSettings(), attempts, now, now + life, chance, delay_s)
    assert now <= at <= now + life


def test_what_is_over_already_is_due_at_once() -> None:
    assert next_attempt(QueueSettings(), 3, 1000.0, 500.0, 0.5) == 1000.0


def test_a_rules_delay_takes_the_schedules_place() -> None:
    assert next_attempt(QueueSettings(), 5, 0.0, NEVER, 0.5, 120.0) == 120.0


def test_a_schedule_of_one_repeats_it() -> None:
    settings = QueueSettings.model_validate({"retry": ["30s"], "jitter": 0.0})
    assert [next_attempt(settings, n, 0.0, NEVER, 0.5) for n in range(4)] == [30.0] * 4


@pytest.mark.parametrize(
    ("kind", "delays"),
    [
        (Kind.AUTH, [15 * MINUTE, HOUR, 6 * HOUR, DAY, DAY]),
        (Kind.NETWORK, [10, 30, 60, 120, 300, 600, 900, 900]),
        (Kind.DNS, [10, 30, 60, 120, 300, 600, 900, 900]),
        (Kind.TLS, [10, 30, 60, 120, 300, 600, 900, 900]),
        (Kind.TRANSIENT, [10, 30, 60]),
        (Kind.THROTTLE, [60, 120, 300, 600, 900, 900]),
        (Kind.QUOTA, [HOUR, HOUR]),
    ],
)
def test_accounts_are_probed_by_the_sort_of_trouble(kind: Kind, delays: list[float]) -> None:
    probed = [probe_delay_s(trouble(kind), n) for n in range(1, len(delays) + 1)]
    assert probed == delays


def test_a_rules_delay_doubles_up_to_its_limit() -> None:
    judgement = trouble(Kind.THROTTLE, 5.0, 600.0)
    delays = [probe_delay_s(judgement, n) for n in (1, 2, 3, 8, 5000)]
    assert delays == [5.0, 10.0, 20.0, 600.0, 600.0]
    assert probe_delay_s(trouble(Kind.THROTTLE, 900.0), 9) == 900.0


def test_at_most_four_logins_in_the_first_day() -> None:
    at, logins = 0.0, 0
    while at < DAY:
        logins += 1
        at += probe_delay_s(trouble(Kind.AUTH), logins)
    assert logins == 4


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (Kind.AUTH, "held"),
        (Kind.QUOTA, "held"),
        (Kind.THROTTLE, "throttled"),
        (Kind.NETWORK, "down"),
        (Kind.DNS, "down"),
        (Kind.TLS, "down"),
    ],
)
def test_trouble_has_a_name_a_reason_and_a_hint(kind: Kind, state: str) -> None:
    after = troubled(AccountState("work"), trouble(kind), 1000.0)
    assert (after.state, after.since, after.failures) == (state, 1000.0, 1)
    assert (after.reason, after.hint) == ("454 why", "do this")


def test_trouble_of_another_sort_begins_its_own_count() -> None:
    down = AccountState("work", "down", 50.0, since=10.0, failures=6)
    again = troubled(down, trouble(Kind.NETWORK), 100.0)
    assert (again.failures, again.since, again.until) == (7, 10.0, 1000.0)
    other = troubled(down, trouble(Kind.AUTH), 100.0)
    assert (other.failures, other.since, other.until) == (1, 10.0, 1000.0)


def test_an_outage_after_a_bad_login_neither_ends_the_hold_nor_hurries_it() -> None:
    """QQ lets TLS stall after a bad login: taken for an outage, it would be probed by seconds."""
    state, now, logins = AccountState("work"), 0.0, 0
    while now < DAY:
        logins += 1
        state = troubled(state, trouble(Kind.AUTH), now)
        for kind in (Kind.TLS, Kind.NETWORK, Kind.THROTTLE):
            now = state.until
            state = troubled(state, trouble(kind), now)
            assert (state.state, state.failures) == ("held", logins)
            assert state.until - now >= 15 * MINUTE
        now = state.until
    assert logins <= 4
    assert state.reason == "454 why; and since then: 454 why"


def test_a_quota_is_no_bad_login() -> None:
    state = AccountState("work")
    for _ in range(5):
        state = troubled(state, trouble(Kind.QUOTA), 0.0)
    assert (state.failures, state.until) == (1, HOUR)


def test_settings_that_cannot_be_used_are_no_bad_logins() -> None:
    unusable = AccountState("work", "held", 0.0, 0.0, 7, "no secret", UNUSABLE_HINT)
    assert troubled(unusable, trouble(Kind.AUTH), 0.0).failures == 1


def test_a_person_holds_without_end_and_the_count_of_bad_logins_stays() -> None:
    bad = AccountState("work", "held", 900.0, 5.0, 2, "535 no", "look")
    state = held(bad, 100.0, "holiday")
    assert held_by_person(state)
    assert (state.since, state.failures, state.reason) == (100.0, 2, "holiday")
    assert held(state, 200.0).since == 100.0
    assert held(AccountState("work"), 1.0).reason == HELD_REASON


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (AccountState("a"), AccountState("a")),
        (AccountState("a", "down", 900.0, 1.0, 9, "x"), AccountState("a")),
        (AccountState("a", "throttled", 900.0, 1.0, 9, "x"), AccountState("a")),
        (
            AccountState("a", "held", 900.0, 1.0, 3, "535 no", "h"),
            AccountState("a", "held", 0.0, 1.0, 3, "535 no", "h"),
        ),
        (held(AccountState("a"), 5.0), AccountState("a")),
    ],
)
def test_a_release_lets_the_account_be_tried_at_once(
    before: AccountState, after: AccountState
) -> None:
    assert released(before) == after


def test_a_release_does_not_begin_the_row_of_logins_anew() -> None:
    state = released(held(AccountState("work", "held", 900.0, 0.0, 3, "535 no"), 100.0))
    assert (state.until, state.failures) == (0.0, 3)
    assert troubled(state, trouble(Kind.AUTH), 200.0).until == 200.0 + DAY


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (AccountState("a"), None),
        (AccountState("a", "held", NEVER, 1.0, 0, "by hand"), None),
        (unknown("a", 5.0), AccountState("a")),
        (AccountState("a", "down", 900.0, 1.0, 9), AccountState("a", "down", 0.0, 1.0, 9)),
        (AccountState("a", "held", 900.0, 1.0, 3), AccountState("a", "held", 0.0, 1.0, 3)),
        (AccountState("a", "held", 900.0, 1.0, 4), None),
        (AccountState("a", "throttled", 900.0, 1.0, 1), None),
        (
            AccountState("a", "held", 900.0, 1.0, 9, "", UNUSABLE_HINT),
            AccountState("a", "held", 0.0, 1.0, 9, "", UNUSABLE_HINT),
        ),
    ],
)
def test_a_restart_looks_at_trouble_anew(state: AccountState, after: AccountState | None) -> None:
    assert at_start(state) == after


def test_an_unknown_account_says_so() -> None:
    state = unknown("gone", 100.0)
    assert state.state == "held"
    assert state.until < NEVER
    assert state.hint == UNKNOWN_HINT
