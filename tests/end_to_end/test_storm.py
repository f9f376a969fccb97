"""A short storm; `make storm` blows a long one."""

from tests.storm.kill import blow


async def test_a_storm_loses_nothing_and_doubles_only_what_is_marked() -> None:
    assert await blow(kills=6, jobs=120, seed=6) == []
