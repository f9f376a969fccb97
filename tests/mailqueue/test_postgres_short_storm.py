"""A short storm on three daemons; `make storm-machines` blows a long one."""

from tests.storm.machines import blow
from tests.support.postgres import running_postgres


async def test_a_storm_on_three_machines_loses_nothing_and_doubles_only_what_is_marked() -> None:
    with running_postgres() as database:  # one that may be restarted
        assert await blow(blows=8, jobs=80, seed=6, database=database) == []
