"""The octets of a job file as text, or what they are instead.  No I/O."""

import codecs
import re
from typing import NoReturn

from asyncnet.mail.problem import Problem
from asyncnet.spool.document import MAX_DOCUMENT_OCTETS
from asyncnet.spool.errors import JobRefused

# What editors count as line ends, and nothing else (libyaml takes NEL, LS and PS for such too).
LINE_END = re.compile(r"\r\n|\n|\r")

# By their first octets: what people drop by mistake.
_OTHER_FILES = (
    (b"\xff\xfe\0\0", "UTF-32"),  # before UTF-16, whose mark it begins with
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\0", "a database"),
)
_BEGINNINGS = tuple(start for start, _ in _OTHER_FILES)
_UTF_16_WITHOUT_MARK = re.compile(rb"[\t\n\r -~]\0[\t\n\r -~]\0|\0[\t\n\r -~]\0[\t\n\r -~]")
_MARKUP = re.compile(r"\s*<[!?A-Za-z]")


def decode(octets: bytes) -> str:
    """The file as text, without its byte order mark.  Raises JobRefused."""
    if len(octets) > MAX_DOCUMENT_OCTETS:
        refuse(
            f"the file has {len(octets):,} octets; a job has at most {MAX_DOCUMENT_OCTETS:,}",
            "put large texts and files beside the job: text_file, html_file, attachments",
        )
    _refuse_other_files(octets)
    octets = octets.removeprefix(codecs.BOM_UTF8)
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        before = octets[: error.start].decode("utf-8")
        # Cut off in a character, it may only be that the rest is not written yet.
        cut = error.reason == "unexpected end of data"
        problem = f"octet 0x{octets[error.start]:02X} is not UTF-8"
        refuse(problem, "save the file as UTF-8", *place(before, len(before)), unfinished=cut)
    if not text or text.isspace():
        refuse_empty()
    if _MARKUP.match(text):
        refuse("the file is HTML or XML, not a job", "write YAML or JSON; see asyncnet schema")
    return text


def _refuse_other_files(octets: bytes) -> None:
    kind = None
    if octets.startswith(_BEGINNINGS):
        kind = next(kind for start, kind in _OTHER_FILES if octets.startswith(start))
    if kind is None and _UTF_16_WITHOUT_MARK.match(octets):
        kind = "UTF-16"
    if kind is None:
        return
    if kind.startswith("UTF"):
        refuse(f"the file is {kind}", "save it as UTF-8")
    refuse(f"the file is {kind}, not a job", "name it under attachments in a job")


def place(text: str, index: int) -> tuple[int, int]:
    """Line and column, from 1, of the character at index."""
    line, start = 1, 0
    for match in LINE_END.finditer(text, 0, index):
        line, start = line + 1, match.end()
    return line, index - start + 1


def refuse_empty() -> NoReturn:
    refuse("the file is empty", "write at least from, to and text", 1, 1, unfinished=True)


def refuse(
    problem: str,
    suggestion: str | None = None,
    line: int | None = None,
    column: int | None = None,
    *,
    unfinished: bool = False,
) -> NoReturn:
    """Raise JobRefused for a mistake that concerns the whole file."""
    raise JobRefused((Problem("", problem, suggestion, line, column),), unfinished=unfinished)
