"""Bad and hostile job files with exactly what is told of each: bad_jobs.txt, and a few large ones.

A person reads these messages with the file before them: what is wrong, and what would be right.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from asyncnet.spool.document import MAX_DOCUMENT_OCTETS
from asyncnet.spool.job import JobKind

BASE = b"from: a@example.org\nto: b@example.org\ntext: x\n"  # good, of three lines
JSON = b'{"from": "a@example.org", "to": "b@example.org", "text": "x"'  # good but for its }

_FILE = re.compile(r"(yaml|json)(…?) ([^:]+): ((?:BASE|JSON|b['\"]).*)")
_PLACE = re.compile(r"(?:([0-9]+):)?([0-9]+): ")


class BadJob(NamedTuple):
    name: str
    kind: JobKind
    octets: bytes
    told: tuple[str, ...]
    unfinished: bool | None = None  # may its writer only not be done?  None: not asked


def _read_table() -> Iterator[BadJob]:
    row: BadJob | None = None
    for line in (Path(__file__).with_suffix(".txt")).read_text(encoding="utf-8").splitlines():
        if line.startswith("  > "):
            assert row is not None
            row = row._replace(told=(*row.told, _told(line[4:])))
            continue
        if row is not None:
            yield row
        row = None if not line or line.startswith("# ") or line == "#" else _row(line)
    if row is not None:
        yield row


def _row(line: str) -> BadJob:
    file = _FILE.fullmatch(line)
    if file is None:
        return BadJob(line, "yaml", BASE + line.replace("⏎", "\n").encode() + b"\n", ())
    kind: JobKind = "json" if file[1] == "json" else "yaml"
    octets = b"".join(
        {"BASE": BASE, "JSON": JSON}.get(part) or ast.literal_eval(part)
        for part in file[4].split(" + ")
    )
    return BadJob(file[3], kind, octets, (), bool(file[2]))


def _told(text: str) -> str:
    return _PLACE.sub(lambda place: f"line {place[1] or 4}, column {place[2]}: ", text, count=1)


_LARGE = (
    BadJob(
        "zeros",
        "yaml",
        bytes(64),
        (
            "line 1, column 1: the character U+0000 cannot stand in a YAML file; leave it out, "
            'or write it as "\\u0000" in double quotes',
        ),
        True,
    ),
    BadJob(
        "every octet that is not ASCII",
        "yaml",
        bytes(range(128, 256)),
        ("line 1, column 1: octet 0x80 is not UTF-8; save the file as UTF-8",),
        False,
    ),
    BadJob(
        "50 TAG directives",
        "yaml",
        b"".join(b"%%TAG !%d! a\n" % number for number in range(50)) + b"---\n" + BASE,
        ("%TAG: tags are not used in jobs; leave these lines out",),
        False,
    ),
    BadJob(
        "50 TAG directives, as old Macs end lines",
        "yaml",
        b"".join(b"\r%%TAG !%d! a" % number for number in range(50)) + b"\r---\r" + BASE,
        ("%TAG: tags are not used in jobs; leave these lines out",),
        False,
    ),
    BadJob(
        "10,001 values",
        "yaml",
        BASE + b"cc: [" + b"c@example.org, " * 10_000 + b"]\n",
        ("line 4, column 149871: more than 10,000 values",),
        False,
    ),
    BadJob(
        "10,001 values",
        "json",
        JSON + b', "cc": [' + b"1," * 10_000 + b"1]}",
        ("line 1, column 20052: more than 10,000 values",),
        False,
    ),
    BadJob(
        "an octet more than a MiB",
        "yaml",
        b"text: " + b"x" * (MAX_DOCUMENT_OCTETS - 5),
        (
            "the file has 1,048,577 octets; a job has at most 1,048,576; "
            "put large texts and files beside the job: text_file, html_file, attachments",
        ),
        False,
    ),
    BadJob(
        "a key of 2,000 characters",
        "yaml",
        BASE + b"? " + b"k" * 2_000 + b"\n: x\n",
        (f"line 4, column 3: {'k' * 59}…: a key is no text of this length",),
        False,
    ),
)

BAD_JOBS: tuple[BadJob, ...] = (*_read_table(), *_LARGE)
