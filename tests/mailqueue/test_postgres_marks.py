"""The mark before the dot on PostgreSQL: no other machine takes the mail over meanwhile."""

from tests.mailqueue.engines import PostgresEngine
from tests.mailqueue.messages import NOW, SMALL, leased, message

TERM_S = 600.0  # so long that no beat comes within the test


async def test_a_lease_holds_for_half_a_term_after_a_mark(postgres: PostgresEngine) -> None:
    store = await postgres.another("here", term_s=TERM_S)
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    # As after beats that were late.
    await postgres.server.execute(
        "UPDATE holder SET until = clock_timestamp() + interval '1 minute'", postgres.url
    )
    await store.mark_dot(lease)
    ((left_s,),) = await postgres.server.fetch(
        "SELECT extract(epoch FROM until - clock_timestamp())::float FROM holder", postgres.url
    )
    assert TERM_S / 2 < left_s <= TERM_S
