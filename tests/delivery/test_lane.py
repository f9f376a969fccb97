"""One account's pace: how many messages may begin within how long, and what throttling teaches."""

from asyncnet.delivery.accounts import Account
from asyncnet.delivery.lane import MOST_SLOWED_S, Lane
from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mailqueue.store import AccountState, Lease
from asyncnet.providers.rules import RuleBook


def lane(*, interval_s: float = 0.0, burst: int = 1, waiting: int = 100) -> Lane:
    account = Account(
        "work", "mail.test", 587, "starttls", RuleBook(), interval_s=interval_s, burst=burst
    )
    built = Lane("work", account, AccountState("work"), proven=True)
    built.waiting.extend([lease()] * waiting)
    return built


def lease() -> Lease:
    return Lease(
        queue_id="1",
        fence=1,
        route=Route(account="work"),
        envelope=Envelope("me@example.org", ("a@example.org",)),
        positions=(0,),
        attempts=0,
        message_id="<1@example.org>",
        size_octets=1,
        priority=1,
        claimed_at=0.0,
        expires_at=1e9,
        on_doubt="retry",
    )


def begun(built: Lane, at: float) -> int:
    """How many messages begin at that time, with connections enough."""
    number = 0
    while built.next_lease(at, limit=10_000) is not None:
        number += 1
    return number


def test_without_a_rate_all_may_begin_at_once() -> None:
    assert begun(lane(), 100.0) == 100


def test_one_message_in_two_seconds() -> None:
    slow = lane(interval_s=2.0)
    assert [begun(slow, 100.0 + at) for at in (0.0, 1.0, 1.9, 2.0, 2.5, 4.0)] == [1, 0, 0, 1, 0, 1]


def test_thirty_a_minute_may_come_together_and_never_are_more_in_any_minute() -> None:
    paced = lane(interval_s=60.0, burst=30, waiting=1000)
    starts = [(at / 10, begun(paced, at / 10)) for at in range(0, 6000, 7)]
    assert starts[0] == (0.0, 30)
    for at, _ in starts:
        assert sum(number for when, number in starts if at <= when < at + 60.0) <= 30
    assert sum(number for _, number in starts) == 300


def test_half_a_burst_leaves_room_for_the_other_half() -> None:
    paced = lane(interval_s=60.0, burst=10, waiting=4)
    assert begun(paced, 0.0) == 4
    paced.waiting.extend([lease()] * 10)
    assert begun(paced, 30.0) == 6
    assert begun(paced, 59.9) == 0
    assert begun(paced, 60.0) == 4


def test_a_clock_that_was_put_back_stops_nothing() -> None:
    slow = lane(interval_s=2.0)
    assert begun(slow, 100_000.0) == 1
    assert begun(slow, 50_000.0) == 1


def test_each_throttling_doubles_the_pause_up_to_a_bound() -> None:
    slowed = lane()
    slowed.slow_down()
    assert begun(slowed, 100.0) == 1
    assert (begun(slowed, 100.9), begun(slowed, 101.0)) == (0, 1)
    for _ in range(20):
        slowed.slow_down()
    assert slowed.slowed_s == MOST_SLOWED_S


def test_what_goes_through_makes_it_faster_again() -> None:
    slowed = lane()
    slowed.slow_down()
    pauses = []
    while slowed.slowed_s:
        slowed.speed_up()
        pauses.append(slowed.slowed_s)
    assert pauses == sorted(pauses, reverse=True)
    assert 15 < len(pauses) < 30
    assert begun(slowed, 100.0) == 100


def test_a_held_account_begins_nothing() -> None:
    held = lane()
    held.state = AccountState("work", "held", until=200.0)
    assert (begun(held, 199.0), begun(held, 200.0)) == (0, 100)
