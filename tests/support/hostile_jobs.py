"""Job files of at most 1 MiB that try to be slow, for the bench and the test of the limit."""

from collections.abc import Callable

from asyncnet.spool.document import MAX_DOCUMENT_OCTETS
from asyncnet.spool.job import JobKind

GOOD = "from: a@example.org\nto: b@example.org\ntext: x\n"


def _filled(head: str, unit: str, tail: str = "", *, times: int | None = None) -> bytes:
    """head, then unit as often as the limit (or times) allows, then tail."""
    room = MAX_DOCUMENT_OCTETS - len(head.encode()) - len(tail.encode())
    count = room // len(unit.encode())
    return (head + unit * min(count, times or count) + tail).encode()


def _many(head: str, item: Callable[[int], str], tail: str = "", *, most: int = 9_980) -> bytes:
    """head, then items 0, 1, 2 … as far as most and the limit allow, then tail."""
    parts, octets = [head], len((head + tail).encode())
    for number in range(most):
        part = item(number)
        octets += len(part.encode())
        if octets > MAX_DOCUMENT_OCTETS:
            break
        parts.append(part)
    return "".join((*parts, tail)).encode()


IN_REPLY = "in-reply-to"


def _cases(number: int) -> str:
    """in-reply-to in its 512 ways of capitals, each once."""
    letters = iter(bin(number + 512)[3:])
    return "".join(c if c == "-" else c.upper() if next(letters) == "1" else c for c in IN_REPLY)


HOSTILE: dict[str, tuple[JobKind, bytes]] = {
    # what libyaml has to bear
    "brackets": ("yaml", _filled("", "[")),
    "braces": ("yaml", _filled("text: ", "{")),
    "pairs of brackets": ("yaml", _filled("text: [", "[],")),
    "braces as keys": ("yaml", _filled("text: ", "{? ")),
    "dashes": ("yaml", _filled("", "- ")),
    "question marks": ("yaml", _filled("", "? ")),
    "colons": ("yaml", _filled("", ": ")),
    "anchors": ("yaml", _filled("", "&a ")),
    "many anchors": ("yaml", _many("text: [", lambda n: f"&a{n} x, ", "]")),
    "tags": ("yaml", _filled("text: ", "!a ")),
    "a long tag": ("yaml", _filled("text: !<", "a", "> x")),
    "a long anchor": ("yaml", _filled("text: &", "a", " x")),
    "an alias bomb": (
        "yaml",
        ("a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a]\n" for n in range(900))).encode(),
    ),
    "TAG directives": (
        "yaml",
        _many("", lambda n: f"%TAG !{n}! a\n", "--- a\n", most=100_000),
    ),
    "TAG directives, as old Macs end lines": (
        "yaml",
        _many("\r", lambda n: f"%TAG !{n}! a\r", "--- a\r", most=100_000),
    ),
    "TAG directives behind the end": (
        "yaml",
        _many(GOOD + "...\n", lambda n: f"%TAG !{n}! a\n", "--- a\n", most=100_000),
    ),
    "unknown directives": ("yaml", _filled("", "%FOO a\n", "---\n" + GOOD)),
    "comments": ("yaml", _filled(GOOD, "#\n")),
    "one comment": ("yaml", _filled(GOOD + "#", "x")),
    "empty lines": ("yaml", _filled("", "\n", "{}")),
    "blanks": ("yaml", _filled("text:", " ", "x")),
    "documents": ("yaml", _filled("", "---\n")),
    "document ends": ("yaml", _filled(GOOD, "...\n")),
    "a long key": ("yaml", _filled("", "k", ": x")),
    "a long explicit key": ("yaml", _filled("? ", "k", "\n: x")),
    "long keys": ("yaml", _many("", lambda n: f"{'k' * 1000}{n}: x\n")),
    "escapes": ("yaml", _filled('text: "', "\\n", '"')),
    "an open quote": ("yaml", _filled("text: '", "x")),
    "doubled quotes": ("yaml", _filled("text: '", "''", "'")),
    "a folded text": ("yaml", _filled("text: >\n", " x\n\n")),
    "a text of many lines": ("yaml", _filled(GOOD[:-2] + "|\n", " x\n")),
    "a text with growing indents": (
        "yaml",
        _many("text: |\n", lambda n: " " * (n + 1) + "\n", most=2_000),
    ),
    "a plain text of many lines": ("yaml", _filled("text:\n", " x\n")),
    "tabs": ("yaml", _filled("text:\n", "\t")),
    "zeros": ("yaml", _filled("", "\0")),
    "four octets a character": ("yaml", _filled(GOOD[:-2], "\U0001f600")),
    # what our own reading has to bear
    "unknown keys": ("yaml", _many("", lambda n: f"recipientz{n}: x\n", most=4_990)),
    "unknown keys of 30 letters": ("yaml", _many("", lambda n: f"{n:030}: x\n", most=4_990)),
    "unknown keys within": (
        "yaml",
        _many("attachments: {", lambda n: f"pathname{n}: x, ", "}", most=4_990),
    ),
    "one key many times": ("yaml", _filled("text: {", "b: c, ", times=4_990)),
    "bad addresses": ("yaml", _filled("to: [", "a@, ", "]", times=9_980)),
    "recipients": ("yaml", _many("to: [", lambda n: f"Name {n} <a{n}@d{n}.test>, ", "]")),
    "recipients of 100 octets": (
        "yaml",
        _many("to: [", lambda n: f"{'a' * 40}{n}@{'d' * 45}{n}.test, ", "]"),
    ),
    "recipients in mappings": (
        "yaml",
        _many("to: [", lambda n: f"{{name: N{n}, addr: a@d{n}.test}}, ", "]", most=1_980),
    ),
    "recipients under international domains": (
        "yaml",
        _many("to: [", lambda n: f"a@{'ü' * 20}{n}.{'é' * 10}.test, ", "]"),
    ),
    "recipients under Arabic domains": (
        "yaml",
        _many(
            "to: [", lambda n: f"a@{'ع' * 30}{chr(0x627 + n % 8)}{'س' * (n // 8 % 20)}.test, ", "]"
        ),
    ),
    "one long international domain": ("yaml", _filled("to: a@", "ü", ".test")),
    "a long address": ("yaml", _filled("to: '", 'a@"', "'")),
    "an address of quotes": ("yaml", _filled("to: '", '"a" ', "<a@b.test>'")),
    "long names": ("yaml", _many("to: [", lambda n: f"'\"{'a' * 900}\" <a@b.test>', ", "]")),
    "a long quoted name": ("yaml", _filled("to: '\"", "a\\\\", "\" <a@b.test>'")),
    "names with quoted pairs": (
        "yaml",
        _many("to: [", lambda n: f"'\"{chr(92) * 900}\" <a@b.test>', ", "]"),
    ),
    "header fields": ("yaml", _many(GOOD + "headers: {", lambda n: f"X-{n}: x, ", "}", most=4_980)),
    "In-Reply-To in all capitals": (
        "yaml",
        (
            GOOD
            + f"headers: {{X: [{'x, ' * 8_900}], "
            + "".join(f"{_cases(n)}: <a@b>, " for n in range(480))
            + "}"
        ).encode(),
    ),
    "a long header field": ("yaml", _filled(GOOD + "headers: {X: ", "x", "}")),
    "a long subject": ("yaml", _filled(GOOD + "subject: ", "ü")),
    "a long message id": ("yaml", _filled("message_id: ", "a.", "@")),
    "a long date": ("yaml", _filled("date: ", "1")),
    "a long host": ("yaml", _filled("server: ", "a.")),
    "a long media type": ("yaml", _filled("attachments: {path: a, type: ", "a/", "}")),
    "a long content id": ("yaml", _filled("inline: {? ", "a", " : b}")),
    "a long path": ("yaml", _filled(GOOD + "attachments: [", "a/", "b]")),
    "attachments": ("yaml", _many(GOOD + "attachments: [", lambda n: f"{n}.txt, ", "]")),
    "base64 of blanks": ("yaml", _filled('attachments: {name: a, base64: "', "A ", '"}')),
    "deep meta": ("yaml", _filled(GOOD + "meta: {a: ", "[" * 17 + "]" * 17 + ", ", "}")),
    # JSON
    "JSON brackets": ("json", _filled("", "[")),
    "JSON keys": ("json", _many('{"a":1', lambda n: f',"k{n}":1', "}", most=4_990)),
    "JSON escapes": ("json", _filled('{"text":"', "\\u00e4", '"}')),
    "JSON surrogates": ("json", _filled('{"text":"', "\\ud83d", '"}')),
    "JSON halves": ("json", _many('{"to":["a"', lambda n: ',"\\udead"', "]}")),
    "JSON blanks": ("json", _filled("{", " ", "}")),
    "JSON lines": ("json", _filled("{", "\n", "}")),
    "a JSON number": ("json", _filled('{"meta":{"n":', "9", "}}")),
    "JSON numbers": (
        "json",
        _many('{"meta":{"n":[1', lambda n: "," + "9" * 98, "]}}"),
    ),
    "a JSON fraction": ("json", _filled('{"meta":{"n":1.', "9", "e9}}")),
    "JSON backslashes": ("json", _filled('{"text":"', "\\\\", '"}')),
    "JSON with an open text": ("json", _filled('{"text":"', "x")),
    "a JSON key": ("json", _filled('{"', "k", '":1}')),
}
