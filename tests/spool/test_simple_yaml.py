"""The short way through simple job files: it reads what libyaml would read, or nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnet.mail.letter import PlainText
from asyncnet.spool.document import Document, TextNode
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.simple_yaml import MAX_BLOCKS, MAX_ITEMS, MAX_LINES, read_simple
from asyncnet.spool.yaml_document import read_simple_yaml, read_with_libyaml

SIMPLE = """\
from: Bench <bench@example.org>
to: reader@example.com
subject: "Measurement 7: no \t#comment, {not} [one]"
text: |
  A line,
    one that is further in,

  and a last one: "as it is" # too


cc: "a@example.org"
attachments: [photo.jpg, a report (final).pdf]
bcc:
- b@example.org
- C, D <c@example.org>
reply_to:
    - e@example.org
""".replace("\t", "")


def by_libyaml(text: str) -> Document | None:
    try:
        return read_with_libyaml(text)
    except JobRefused:
        return None


def test_a_simple_file_is_read_without_libyaml() -> None:
    document = read_simple(SIMPLE.encode())
    assert document is not None
    assert document == by_libyaml(SIMPLE)
    assert [key.text for key, _ in document.root.entries] == (
        "from to subject text cc attachments bcc reply_to".split()
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a: b",  # its writer may not be done
        "a: b\na: c\n",
        "a:\n",
        "a: b: c\n",
        "a: b # c\n",
        "a: b\n c\n",
        "a: 'b'\n",
        'a: "\\n"\n',
        'a: "b" \n',
        "a: []\n",
        "a: [b,c]\n",
        "a: [b, c ]\n",
        "a: [b, ]\n",
        "a: [[b]]\n",
        "a: [b\n]\n",
        "a: [b] # c\n",
        "a:\n- b: c\n",
        "a:\n- - b\n",
        "a:\n  - b\n - c\n",
        "a:\n - b\n  - c\n",
        "a:\n- b\n  c\n",
        "a:\n- b # c\n",
        "a: \n- b\n",
        "a:\n-\n",
        "a: *b\n",
        "a: b\r\n",
        "a: b \n",
        "a: |-\n  b\n",
        "a: |\n  b\n c\n",
        "a: |\n\n  b\n",
        "a: |\n",
        "a: |\n  b",
        "a: |\n  b\n  c",
        "a: |\n  b\r\n  c\n",
        "a: |\n  b\r  c\n",
        "---\na: b\n",
        "a: b\n...\n",
        "# a\na: b\n",
        " a: b\n",
        "a: >\n  b\n",
        "- a\n",
    ],
)
def test_all_else_is_left_to_libyaml(text: str) -> None:
    assert read_simple(text.encode()) is None


@pytest.mark.parametrize("form", ["to: [{}]\n", "to:\n- {}\n"])
def test_a_long_list_is_left_to_who_counts_values(form: str) -> None:
    between = ", " if "[" in form else "\n- "
    for number in (MAX_ITEMS, MAX_ITEMS + 1):
        text = form.format(between.join(["a"] * number))
        assert (read_simple(text.encode()) is None) is (number > MAX_ITEMS)


def test_many_blocks_are_left_to_libyaml_since_each_is_looked_for_to_the_end() -> None:
    for number in (MAX_BLOCKS, MAX_BLOCKS + 1):
        text = "".join(f"{key}: |\n  b\n\n  c\n\n" for key in "abcdefghij"[:number])
        document = read_simple(text.encode())
        assert (document is None) is (number > MAX_BLOCKS)
        assert document is None or document == by_libyaml(text)


@pytest.mark.parametrize(
    ("line", "plain"), [("~ x\ty !", True), ("caf\xe9", False), ("\u795d", False)]
)
def test_only_a_block_of_printable_ascii_is_told_to_be_plain(line: str, plain: bool) -> None:
    document = read_simple_yaml(f"text: |\n  {line}\n".encode())
    assert document is not None
    ((_, value),) = document.root.entries
    assert isinstance(value, TextNode)
    assert value.text == f"{line}\n"
    assert isinstance(value.text, PlainText) is plain


@pytest.mark.parametrize("control", ["\x00", "\x07", "\x1b", "\x7f"])
def test_a_block_with_a_control_is_refused_before_it_could_be_told_so(control: str) -> None:
    with pytest.raises(JobRefused, match="cannot stand in a YAML file"):
        read_simple_yaml(f"text: |\n  a{control}b\n".encode())


def test_a_file_of_very_many_lines_is_left_to_who_does_not_keep_the_loop_waiting() -> None:
    for number in (MAX_LINES, MAX_LINES + 1):
        text = "text: |\n" + "  x\n" * number
        document = read_simple(text.encode())
        assert (document is None) is (number > MAX_LINES)
        assert document is None or document == by_libyaml(text)


PIECES = st.sampled_from(
    [
        *("from", "to", "text", "subject", ": ", ":", " ", "  ", "   ", "\n", "\n\n", "\n  ", "|"),
        *("|\n  ", '"', "'", "#", "-", "- ", "---", "...", "?", "!", "&a", "*a", "%", "@", "`"),
        *("{", "}", "[", "]", ",", "\t", "\r", "\r\n", "\\", "é", "祝", "a", "B", "0", "1.5"),
        *("null", "no", "~", "<<", "a@example.org", "A <a@example.org>", ";", "=", "(", ")", "+"),
        *("to: a@example.org\n", 'subject: "x y"\n', "text: |\n  x\n", "  y\n", " \n", "    \n"),
        *(
            "[a, b]\n",
            "cc: [a, ",
            "b]",
            ", ",
            "bcc:\n- a\n",
            "- b\n",
            "reply_to:\n  - a\n",
            "  - b\n",
        ),
    ]
)


@settings(max_examples=1000)
@given(pieces=st.lists(PIECES, max_size=14))
def test_whatever_it_reads_libyaml_reads_alike(pieces: list[str]) -> None:
    text = "".join(pieces)
    document = read_simple(text.encode())
    assert document is None or document == by_libyaml(text)


@settings(max_examples=500)
@given(
    lines=st.lists(
        st.text("ab \t:#|\"'-é祝", max_size=8).map(lambda it: f"  {it}".rstrip("\r")), min_size=1
    ),
    more=st.sampled_from(["", "\n", "to: b\n", " \n", "\t\n"]),
)
def test_blocks_are_read_alike(lines: list[str], more: str) -> None:
    text = "text: |\n" + "\n".join(lines) + "\n" + more
    document = read_simple(text.encode())
    assert document is None or document == by_libyaml(text)


@settings(max_examples=500)
@given(
    items=st.lists(st.text("ab0.,-/_ :#[]&", max_size=6), min_size=1, max_size=4),
    margin=st.sampled_from(["", "", "  ", " "]),
    between=st.sampled_from([", ", ", ", ",", " , "]),
    more=st.sampled_from(["", "cc: b\n", "- c\n", "  - c\n", "   c\n"]),
)
def test_lists_are_read_alike(items: list[str], margin: str, between: str, more: str) -> None:
    dashed = "".join(f"{margin}- {item}\n" for item in items)
    for text in (f"to:\n{dashed}{more}", f"to: [{between.join(items)}]\n{more}"):
        document = read_simple(text.encode())
        assert document is None or document == by_libyaml(text)
