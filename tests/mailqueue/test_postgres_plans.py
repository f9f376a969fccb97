"""How much PostgreSQL looks at for one step, in a young queue of which it knows nothing yet.

Counted in rows, which no other work on the machine changes.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import asyncpg

from asyncnet.mailqueue.postgres_access import Access
from asyncnet.mailqueue.postgres_link import QUERIES
from asyncnet.mailqueue.store import INLINE_OCTETS
from tests.mailqueue.engines import PostgresEngine
from tests.mailqueue.messages import NOW, SMALL, message

WAITING = 1200
BATCH = 64
# An index entry and a row for each of a batch, four times as many to choose from, and recipients;
# a plan that walks an index for each of them looks at 76,800 and more.
MOST_ROWS = 8_000


def rows_of(plan: dict[str, Any]) -> Iterator[float]:
    """The rows that each node of a plan gave or threw away."""
    given = plan["Actual Rows"], *(plan[it] for it in plan if it.startswith("Rows Removed"))
    yield sum(given) * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from rows_of(part)


async def looked_at(connection: asyncpg.Connection, query: str, *parameters: object) -> float:
    """The step is done, too."""
    told = await connection.fetchval(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {QUERIES[query]}", *parameters
    )
    return sum(rows_of(json.loads(told)[0]["Plan"]))


async def test_a_step_looks_at_no_more_rows_however_many_wait(postgres: PostgresEngine) -> None:
    store = await postgres.open()
    await asyncio.gather(
        *(store.accept(message(f"Q{n:04}"), SMALL, NOW) for n in range(WAITING + 4 * BATCH))
    )
    held = [(it.queue_id, it.fence) for _ in range(4) for it in await store.lease(NOW, BATCH)]
    batch = [queue_id for queue_id, _ in held[:BATCH]], [fence for _, fence in held[:BATCH]]
    assert postgres.url is not None
    connection: Any = await Access(postgres.url).connect()
    lease: tuple[object, ...] = (NOW, 4 * BATCH, [], BATCH, 1, INLINE_OCTETS)
    assert await looked_at(connection, "lease", *lease) < MOST_ROWS
    assert await looked_at(connection, "mark_dots", *batch, 1, 30.0) < MOST_ROWS
    assert await looked_at(connection, "leased_jobs", *batch) < MOST_ROWS
    assert await looked_at(connection, "unlease", *batch) < MOST_ROWS
    assert await looked_at(connection, "next_due", []) < MOST_ROWS
    assert await looked_at(connection, "oldest") < MOST_ROWS
    assert await looked_at(connection, "present_turns", [b"work"], [1]) < 10
    await connection.close()
