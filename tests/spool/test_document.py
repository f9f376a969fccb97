"""The tree under a job: YAML and JSON as text with positions, and what is no tree."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.spool.document import Document, ListNode, MapNode, Node, TextNode, read_yaml
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.json_document import read_json

UNFINISHED, FINAL = True, False


def plain(node: Node) -> object:
    if isinstance(node, MapNode):
        return {key.text: plain(value) for key, value in node.entries}
    return [plain(item) for item in node.items] if isinstance(node, ListNode) else node.text


def refusal(octets: bytes, reader: object = read_yaml) -> tuple[list[str], bool]:
    assert callable(reader)
    with pytest.raises(JobRefused) as caught:
        reader(octets)
    return [str(problem) for problem in caught.value.problems], caught.value.unfinished


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


@pytest.mark.parametrize(
    ("octets", "expected", "unfinished"),
    [
        (b"", "line 1, column 1: the file is empty; write at least from, to and text", UNFINISHED),
        (b" \n", "line 1, column 1: the file is empty; write at least from, to and text", True),
        (b"a: 'x", "line 1, column 6: the quote opened on line 1 is never closed", UNFINISHED),
        (b"a: [1,\n 2", "line 3, column 1: the bracket opened on line 1 lacks its ]", UNFINISHED),
        (b"{a: 1", "line 2, column 1: the bracket opened on line 1 lacks its }", UNFINISHED),
        (b"a: 1\nfro", 'line 2, column 1: the key on line 2 has no colon; "key: value"', True),
        (b"a:\n\t- b", "line 2, column 1: a tab cannot indent in YAML; use spaces", UNFINISHED),
        (
            b"a: Re: b",
            'line 1, column 6: a second ": " on this line; put the whole value in quotes: "…"',
            UNFINISHED,
        ),
        (
            b"a: @b",
            'line 1, column 4: a value cannot begin with @; put the whole value in quotes: "…"',
            UNFINISHED,
        ),
        (
            b"a: 1\n  b: 2",
            'line 2, column 4: a second ": " on this line; put the whole value in quotes: "…"',
            UNFINISHED,
        ),
        (
            b"a: |\n  x\n y\n",
            "line 3, column 2: the indentation fits nothing above; align it with its neighbours",
            UNFINISHED,
        ),
        (
            b"- a",
            'line 1, column 1: the file holds a list; a job is keys with values; write "to: …"',
            UNFINISHED,
        ),
        (
            b"hello",
            'line 1, column 1: the file holds only text; a job is keys with values; write "to: …"',
            UNFINISHED,
        ),
        (
            b"a: 1\n---\nb: 2",
            "line 2, column 1: a second document begins here; one job a file",
            FINAL,
        ),
        (b"%TAG ! x\n---\na: b: c", None, UNFINISHED),
        (
            b"%YAML 2.0\n---\na: b",
            "line 1, column 1: not YAML: found incompatible YAML document",
            UNFINISHED,
        ),
        (b"\xff\xfea\0", "line 1, column 1: the file is UTF-16; save it as UTF-8", FINAL),
        (
            b"a: b\nc: \xc4\xd6",
            "line 2, column 4: octet 0xC4 is not UTF-8; save it as UTF-8",
            UNFINISHED,
        ),
        (
            "a: é".encode()[:-1],
            "line 1, column 4: octet 0xC3 is not UTF-8; save it as UTF-8",
            UNFINISHED,
        ),
        (
            b"a: b\0",
            "line 1, column 5: the character U+0000 cannot stand in a YAML file; "
            'leave it out, or write it as "\\u0000" in double quotes',
            UNFINISHED,
        ),
        (
            "a: b\u2028".encode(),
            "line 1, column 5: the character U+2028 cannot stand in a YAML "
            'file; leave it out, or write it as "\\u2028" in double quotes',
            UNFINISHED,
        ),
        (b"a: " + b"[" * 30, "line 1, column 23: more than 20 levels of lists and mappings", FINAL),
        (b"a: [" + b"b," * 10_000, "line 1, column 19999: more than 10,000 values", FINAL),
        (
            b"a: " + b"b" * 1_048_576,
            "the file has 1,048,579 octets; a job has at most 1,048,576; "
            "put large texts and files beside the job: text_file, html_file, attachments",
            FINAL,
        ),
        (
            b'a: "\\ud83d"',
            "line 1, column 7: not YAML: while parsing a quoted scalar: "
            "found invalid Unicode character escape code",
            UNFINISHED,
        ),
    ],
)
def test_what_is_no_yaml_tree_is_refused(
    octets: bytes, expected: str | None, unfinished: bool
) -> None:
    problems, refused_as = refusal(octets)
    assert refused_as is unfinished
    if expected is not None:
        assert problems == [expected]


def test_a_mistake_before_the_broken_place_is_told_with_it() -> None:
    problems, _ = refusal(b"a: &x 1\nb: 'c")
    assert problems == [
        "line 1, column 4: &x: anchors are not used in jobs; write the value out",
        "line 2, column 6: the quote opened on line 2 is never closed",
    ]


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", "line 1, column 1: the file is empty; write at least from, to and text"),
        (b"[1]", 'line 1, column 1: the file holds no object; write {"from": …, "to": …}'),
        (b'{"a": 1,}', "line 1, column 8: no comma may stand before }"),
        (b'{"a": [1,]}', "line 1, column 9: no comma may stand before ]"),
        (b'{"a"', 'line 1, column 5: the file ends too early: a colon is expected after "a"'),
        (b'{"a": 1', "line 1, column 8: the file ends too early: a comma or } is expected here"),
        (b'{"a": "x', "line 1, column 7: not JSON: unterminated string"),
        (b'{"a": "\n"}', "line 1, column 8: not JSON: invalid control character"),
        (b'{"a": "\\x"}', "line 1, column 8: not JSON: invalid \\escape"),
        (
            b'{"a":\n nul}',
            "line 2, column 2: a value is expected here: a text in double quotes, say",
        ),
        (b'{"a": 01}', "line 1, column 8: a comma or } is expected here"),
        (b'{"a": NaN}', "line 1, column 7: a value is expected here: a text in double quotes, say"),
        (b"{'a': 1}", "line 1, column 2: a key in double quotes is expected here"),
        (b'{"a": 1} x', "line 1, column 10: something follows the end of the object"),
        (b'{"a": 1} {"a": 2}', "line 1, column 10: something follows the end of the object"),
        (
            b'{"a": /* b */ 1}',
            "line 1, column 7: a value is expected here: a text in double quotes, say",
        ),
    ],
)
def test_what_is_no_json_tree_is_refused(octets: bytes, expected: str) -> None:
    assert refusal(octets, read_json) == ([expected], UNFINISHED)


def test_json_limits_are_final() -> None:
    assert refusal(b'{"a":' + b"[" * 30, read_json) == (
        ["line 1, column 25: more than 20 levels of lists and objects"],
        FINAL,
    )
    problems, final = refusal(b'{"a": [' + b"1," * 10_000 + b"1]}", read_json)
    assert "more than 10,000 values" in problems[0]
    assert final is FINAL


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
