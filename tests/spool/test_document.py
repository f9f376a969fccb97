"""The tree under a job: YAML and JSON as text with positions, and what is no tree."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.spool import yaml_document
from asyncnet.spool.document import (
    MAX_DOCUMENT_OCTETS,
    Document,
    ListNode,
    MapNode,
    Node,
    TextNode,
)
from asyncnet.spool.json_document import read_json
from asyncnet.spool.yaml_document import read_yaml


def plain(node: Node) -> object:
    if isinstance(node, MapNode):
        return {key.text: plain(value) for key, value in node.entries}
    return [plain(item) for item in node.items] if isinstance(node, ListNode) else node.text


def test_positions_are_those_of_an_editor() -> None:
    document = read_yaml("ключ: 值 😀\nlist:\n  - {a: 'x'}\n  - |\n    text\n".encode())
    (key, value), (_, items) = document.root.entries
    assert key == TextNode("ключ", 1, 1, "plain")
    assert value == TextNode("值 😀", 1, 7, "plain")
    assert isinstance(items, ListNode)
    inner, block = items.items
    assert isinstance(inner, MapNode)
    assert inner.entries[0][1] == TextNode("x", 3, 9, "quoted")
    assert block == TextNode("text\n", 4, 5, "quoted")


@pytest.mark.parametrize(
    "octets",
    [
        b"\xef\xbb\xbfa: b\n",
        b"---\na: b\n",
        b"a: b\n...\n",
        b"%YAML 1.1\n---\na: b",
        b"# hello\r\na: b\r\n",
        b"{a: b}",
        b'{"a":"b"}',
        b"a:\tb",
    ],
)
def test_yaml_may_be_written_in_many_ways(octets: bytes) -> None:
    assert plain(read_yaml(octets).root) == {"a": "b"}


def test_what_stands_whole_before_a_broken_place_is_kept() -> None:
    document = read_yaml(b"a: &x 1\nb: [1, 2]\nc: [3\nd: 'e")
    assert plain(document.root) == {"a": "1", "b": ["1", "2"]}
    assert (document.broken, document.unfinished) == (True, True)
    assert [problem.line for problem in document.problems] == [1, 4]
    document = read_json(b'{"a": 1, "b": [1, 2], "c": [3, "d" 4')
    assert plain(document.root) == {"a": "1", "b": ["1", "2"]}
    assert (document.broken, document.unfinished) == (True, True)


def test_a_limit_breaks_off_for_good() -> None:
    for read, octets in ((read_yaml, b"a: 1\nb: " + b"[" * 30), (read_json, b'{"a":' + b"[" * 30)):
        document = read(octets)
        assert (document.broken, document.unfinished) == (True, False)
    # What was being read then is not judged: half a list would get mistakes of its own.
    assert plain(read_yaml(b"a: 1\nb: " + b"[" * 30).root) == {"a": "1"}


def test_a_file_may_have_a_whole_mebibyte() -> None:
    head = b"text: "
    document = read_yaml(head + b"x" * (MAX_DOCUMENT_OCTETS - len(head)))
    assert document.problems == []


def test_json_notes_what_the_rest_survives() -> None:
    document = read_json(b'{"a": 1, "a": 2, "": 3, "b": "\\ud83d"}')
    assert [str(problem) for problem in document.problems] == [
        "line 1, column 10: a: this key stands on line 1 already; keep one of them",
        "line 1, column 18: a key is missing before the colon",
        "line 1, column 30: half of a surrogate pair; write both halves",
    ]
    assert plain(document.root) == {"a": "1", "b": "\ufffd"}


TREES = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda key: key != "<<"),
    st.recursive(
        st.text(max_size=12),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=4)
        ),
        max_leaves=12,
    ),
    max_size=6,
)


@given(TREES, st.booleans())
def test_json_reads_what_json_writes(tree: dict[str, object], escaped: bool) -> None:
    document = read_json(json.dumps(tree, ensure_ascii=escaped).encode())
    assert document == Document(document.root, [])
    assert plain(document.root) == tree


PRINTABLE = st.text(
    st.characters(
        min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cc", "Cs", "Zl", "Zp"]
    ),
    min_size=1,
    max_size=12,
)


@given(st.dictionaries(PRINTABLE, PRINTABLE | st.lists(PRINTABLE, max_size=3), max_size=5))
def test_yaml_reads_what_yaml_writes(tree: dict[str, object]) -> None:
    written = yaml.dump(tree, allow_unicode=True, default_style='"') or "{}"
    document = read_yaml(written.replace("\ufeff", "\\ufeff").encode())
    assert document.problems == []
    assert plain(document.root) == tree


def test_of_ascii_the_same_characters_are_forbidden_as_of_all_text() -> None:
    """They are looked for in two ways, by whether the text is ASCII."""
    forbidden = {code for code in range(128) if yaml_document._FORBIDDEN.search(chr(code))}
    assert forbidden == {*range(128)} - {*yaml_document._ALLOWED_ASCII}
