"""The reader of .sql files."""

import pytest

from asyncnet.mailqueue.connection import QUERIES
from asyncnet.mailqueue.queries import Queries

TEXT = """\
-- About the file.

-- name: one
-- The first, described
-- in two lines.
SELECT 1;
-- a comment within
SELECT 2

-- name: two
-- The second.
SELECT ?1
"""


def test_each_name_has_its_statement_and_description() -> None:
    queries = Queries(TEXT)
    assert dict(queries) == {
        "one": "SELECT 1;\n-- a comment within\nSELECT 2",
        "two": "SELECT ?1",
    }
    assert queries.description("one") == "The first, described in two lines."


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(TEXT + TEXT, "twice", id="a name given twice"),
        pytest.param("-- name: one\nSELECT 1\n", "description", id="no description"),
        pytest.param("-- name: one\n-- Says much.\n", "statement", id="no statement"),
    ],
)
def test_a_file_that_is_not_in_order_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Queries(text)


def test_the_engine_brings_its_queries_along() -> None:
    assert "present_turn" in QUERIES
    assert all(len(QUERIES.description(name)) > 10 for name in QUERIES)
