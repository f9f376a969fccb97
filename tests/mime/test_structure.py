"""A message's structure is read as other readers do, whatever the cut, and junk is no trouble."""

import time
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message as StandardMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.letter import Letter
from asyncnet.mime.entity import Entity, Leaf, pieces
from asyncnet.mime.message import compose
from asyncnet.mime.structure import MAX_DEPTH, MAX_PARTS, ReadEntity, StructureReader
from tests.mime.letters import LETTERS


def read(*blocks: bytes) -> ReadEntity:
    reader = StructureReader()
    for block in blocks:
        reader.receive_data(block)
    return reader.end()


def shape(entity: ReadEntity) -> str:
    inner = ", ".join(map(shape, entity.parts))
    note = f" ({entity.note})" if entity.note else ""
    return f"{entity.fields.media_type} {entity.octets}{note}" + (f" [{inner}]" if inner else "")


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


MIXED = crlf("""\
From: a@example.org
Content-Type: multipart/mixed; boundary="b"

preamble
--b
Content-Type: multipart/alternative;
 boundary=bb

--bb

text
--bb
Content-Type: text/html
no field begins the body
--bb--
between
--b \t
Content-Type: message/rfc822

Content-Type: image/png

--bc
--b--
--b
epilogue
""")


@pytest.mark.parametrize("cut", range(len(MIXED) + 1))
def test_the_structure_is_the_same_whatever_the_cut(cut: int) -> None:
    entity = read(MIXED[:cut], MIXED[cut:])
    assert shape(entity) == (
        f"multipart/mixed {len(MIXED)} [multipart/alternative 140 [text/plain 6, text/html 49], "
        "message/rfc822 63 [image/png 31]]"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "text/plain 0"),
        ("no header at all", "text/plain 16"),
        ("Content-Type: multipart/mixed\n\n--b\n", "multipart/mixed 38 (has no boundary)"),
        (
            "Content-Type: multipart/mixed; boundary=b\n\nx\n",
            "multipart/mixed 48 (its boundary never comes)",
        ),
        (
            "Content-Type: multipart/mixed; boundary=b",
            "multipart/mixed 41 (its boundary never comes)",
        ),
        (
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n",
            "multipart/mixed 55 (is not closed) [text/plain 5]",
        ),
        ("Content-Type: multipart/mixed; boundary=b\n\n--b--\n", "multipart/mixed 52"),
        (
            "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\n--b--",
            "multipart/digest 72 [message/rfc822 14 [text/plain 12]]",
        ),
        (
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQQ==\n",
            "message/rfc822 73",
        ),
        ("Content-Type: message/rfc822\n\nno field\n", "message/rfc822 42 [text/plain 10]"),
    ],
)
def test_what_is_odd_is_told(text: str, expected: str) -> None:
    assert shape(read(crlf(text))) == expected


def test_an_outer_boundary_ends_what_is_within() -> None:
    text = (
        "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed;"
        " boundary=i\n\n--i\n\nx\n--o\n\ny\n--i\n--o--\n"
    )
    entity = read(crlf(text))
    inner, last = entity.parts
    assert (inner.note, len(inner.parts), entity.note) == ("is not closed", 1, "")
    assert last.octets == len("\r\ny\r\n--i")


def test_of_two_with_one_boundary_the_inner_has_it() -> None:
    kind = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    entity = read(kind, kind, b"\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n--b--\r\n")
    (inner,) = entity.parts
    assert (len(inner.parts), inner.note, entity.note) == (2, "", "")


def test_a_line_of_998_octets_counts_and_a_longer_one_does_not() -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    for blanks, parts in ((995, 1), (996, 0)):
        line = b"--b" + b" " * blanks + b"\r\n"
        for cut in range(len(line)):
            assert len(read(head, line[:cut], line[cut:]).parts) == parts


@pytest.mark.parametrize("blanks", range(955, 970))
def test_a_long_line_of_a_header_is_the_same_whatever_the_cut(blanks: int) -> None:
    field = b"Content-Type: multipart/mixed;" + b" " * blanks + b"boundary=b\r\n"
    rest = b"\r\n--b\r\n\r\nx"
    cut = (field[:1_000], field[1_000:], rest)
    assert shape(read(field + rest)) == shape(read(*cut))


@given(LETTERS)
def test_what_we_composed_is_read_back_octet_by_octet(letter: Letter) -> None:
    message = compose(letter)
    _compare(read(*message.blocks()), message.root, whole=message.octets)


def _compare(entity: ReadEntity, root: Entity, whole: int | None = None) -> None:
    octets = sum(len(it) if isinstance(it, bytes) else it.octets for it in pieces(root))
    assert entity.fields.media_type == root.media_type
    assert entity.octets == (octets if whole is None else whole)
    assert entity.note == ""
    if isinstance(root, Leaf):
        assert entity.fields.encoding == root.encoding
        assert entity.fields.name == (root.name or None)
        return
    for part, expected in zip(entity.parts, root.parts, strict=True):
        _compare(part, expected)


# Any tree, written as programs write it.


@dataclass(frozen=True)
class Tree:
    media_type: str
    parts: "tuple[Tree, ...]" = ()


leaves = st.sampled_from(["text/plain", "text/html", "image/png"]).map(Tree)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4).map(
            lambda parts: Tree("multipart/mixed", tuple(parts))
        )
        | inner.map(lambda part: Tree("message/rfc822", (part,)))
    ),
    max_leaves=20,
)
bodies = st.sampled_from([b"", b"x\r\n", b"\r\n--\r\n--b\r\n--b0", b"--b-1\r\n\r\n-- \r\n"])


@given(trees, bodies)
def test_any_tree_is_read_as_the_standard_library_does(tree: Tree, body: bytes) -> None:
    octets = b"".join(_written(tree, body, []))
    entity = read(octets)
    assert entity.octets == len(octets)
    assert _tree(entity) == tree == _standard(message_from_bytes(octets))


def _written(tree: Tree, body: bytes, used: list[int]) -> Iterable[bytes]:
    used.append(0)
    boundary = f"b{len(used)}x".encode()
    yield b"Content-Type: %s; boundary=%s\r\n\r\n" % (tree.media_type.encode(), boundary)
    if tree.media_type == "message/rfc822":
        yield from _written(tree.parts[0], body, used)
        return
    yield body
    for part in tree.parts:
        yield b"\r\n--%s\r\n" % boundary
        yield from _written(part, body, used)
    if tree.parts:
        yield b"\r\n--%s--\r\n" % boundary


def _tree(entity: ReadEntity) -> Tree:
    return Tree(entity.fields.media_type, tuple(map(_tree, entity.parts)))


def _standard(message: StandardMessage) -> Tree:
    parts = message.get_payload() if message.is_multipart() else []
    assert isinstance(parts, list)
    return Tree(message.get_content_type(), tuple(_standard(part) for part in parts))  # type: ignore[arg-type]


# Limits.


def test_depth_is_bounded() -> None:
    levels = [
        b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(99)
    ]
    entity, depth = read(b"".join(levels)), 1
    while entity.parts:
        (entity,) = entity.parts
        depth += 1
    assert depth == MAX_DEPTH
    assert entity.note == f"nests deeper than {MAX_DEPTH} levels"
    forwarded = read(b"Content-Type: message/rfc822\r\n\r\n" * 5_000)
    assert shape(forwarded).count("message/rfc822") == MAX_DEPTH


def test_parts_beyond_the_limit_are_counted() -> None:
    entity = read(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"--b\r\n" * 5_000, b"--b--\r\n"
    )
    assert len(entity.parts) == MAX_PARTS - 1
    assert entity.note == f"and {5_001 - MAX_PARTS:,} more parts"


@pytest.mark.parametrize(
    ("head", "block"),
    [
        pytest.param(b"", b"X: y\r\n" * 10_000, id="fields"),
        pytest.param(b"", b"Content-Type: a/b; x=y\r\n" * 2_500, id="fields of content"),
        pytest.param(b"Content-Type: a/b\r\n", b" goes on;\r\n" * 5_000, id="a folded field"),
        pytest.param(b"Content-Type: a/b; boundary=", b"x" * 60_000, id="a line in the header"),
        pytest.param(b"\r\n", b"--" * 30_000, id="a line in the body"),
        pytest.param(b"Content-Type: multipart/x; boundary=b\r\n\r\n", b"--b\r\n" * 9_000, id="b"),
    ],
)  # fmt: skip
def test_memory_and_time_are_bounded(head: bytes, block: bytes) -> None:
    begun = time.process_time()
    tracemalloc.start()
    try:
        entity = read(head, *[block] * 20)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert entity.octets == len(head) + 20 * len(block)
    assert time.process_time() - begun < 20


LINES = st.sampled_from(
    [b"--b\r\n", b"--b--\r\n", b"--c\r\n", b"\r\n", b"\r", b"\n", b"x", b"--", b"Subject: y\r\n"]
    + [b"Content-Type: multipart/mixed; boundary=%s\r\n" % name for name in (b"b", b"c", b'""')]
    + [
        b"--b" + b" " * 995 + b"\r\n",
        b"--b" + b" " * 996 + b"\r\n",
        b" " * 970 + b"; boundary=b\r\n",
    ]
    + [b"Content-Type: message/rfc822\r\n", b"Content-Type: text/html", b" folded\r\n"]
)


@given(st.lists(LINES | st.binary(max_size=20)), st.integers(1, 1_100))
def test_any_octets_have_a_structure_and_cuts_do_not_matter(lines: list[bytes], size: int) -> None:
    octets = b"".join(lines)
    entity = read(octets)
    assert entity.octets == len(octets)
    assert shape(entity) == shape(
        read(*(octets[i : i + size] for i in range(0, len(octets), size)))
    )
    _inside(entity)


def _inside(entity: ReadEntity) -> None:
    assert sum(part.octets for part in entity.parts) <= entity.octets
    for part in entity.parts:
        _inside(part)
