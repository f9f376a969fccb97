"""Named queries: the text of an .sql file in, its statements by name out.  No I/O.

A query begins at a line "-- name: NAME"; the comment lines under it describe it, and the
rest up to the next name is handed to the database as it stands.
"""

import re
from collections.abc import Iterator, Mapping

_HEAD = re.compile(r"^-- name: ([a-z0-9_]+)$", re.MULTILINE)
_DESCRIPTION = re.compile(r"(?:^--.*\n)+", re.MULTILINE)


class Queries(Mapping[str, str]):
    """Statements by name.  Every one has a description, which the reading demands."""

    def __init__(self, text: str) -> None:
        """Raises ValueError on a name given twice, and where description or statement lacks."""
        self._statements: dict[str, str] = {}
        self._descriptions: dict[str, str] = {}
        heads = list(_HEAD.finditer(text))
        ends = [head.start() for head in heads[1:]] + [len(text)]
        for head, end in zip(heads, ends, strict=True):
            self._add(head[1], text[head.end() + 1 : end])

    def __getitem__(self, name: str) -> str:
        return self._statements[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)

    def description(self, name: str) -> str:
        return self._descriptions[name]

    def _add(self, name: str, body: str) -> None:
        comment = _DESCRIPTION.match(body)
        statement = body[comment.end() :].strip() if comment else ""
        if name in self._statements:
            raise ValueError(f"the query {name} is there twice")
        if comment is None or not statement:
            raise ValueError(f"the query {name} lacks its description or its statement")
        lines = (line.removeprefix("--").strip() for line in comment[0].splitlines())
        self._descriptions[name] = " ".join(lines)
        self._statements[name] = statement
