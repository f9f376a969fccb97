"""One line asks, one line answers: read back as written, and nothing else is taken for either."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.control.protocol import (
    VERSION,
    RefusalKind,
    Refused,
    Request,
    Unreadable,
    answer_line,
    parse_answer,
    parse_request,
    refusal_line,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.text(), st.dictionaries(st.text(), JSON, max_size=4))
def test_a_request_comes_back_as_it_was(verb: str, arguments: dict[str, object]) -> None:
    line = Request(verb, arguments).encode()
    assert line.count(b"\n") == 1
    assert parse_request(line) == Request(verb, arguments)


@given(JSON)
def test_an_answer_comes_back_as_it_was(answer: object) -> None:
    line = answer_line(answer)
    assert line.count(b"\n") == 1
    assert parse_answer(line) == answer


@given(st.sampled_from(RefusalKind), st.text())
def test_a_refusal_comes_back_as_it_was(kind: RefusalKind, text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_answer(refusal_line(Refused(kind, text)))
    assert (caught.value.kind, str(caught.value)) == (kind, text)


@pytest.mark.parametrize(
    ("line", "kind", "told"),
    [
        (b"", RefusalKind.USAGE, "no JSON"),
        (b"hold work\n", RefusalKind.USAGE, "no JSON"),
        (b"[]\n", RefusalKind.USAGE, "no JSON object"),
        (b"[" * 60_000, RefusalKind.USAGE, "no JSON"),
        (b'{"asyncnet": 1' + b"1" * 5000 + b"}", RefusalKind.USAGE, "no JSON"),
        (b"\xff\xfe\n", RefusalKind.USAGE, "no JSON"),
        (b'{"verb": "account.list"}\n', RefusalKind.VERSION, "not None"),
        (b'{"asyncnet": 2, "verb": "account.list"}\n', RefusalKind.VERSION, "restart it"),
        (b'{"asyncnet": 1}\n', RefusalKind.USAGE, "a request has a verb"),
        (b'{"asyncnet": 1, "verb": 3}\n', RefusalKind.USAGE, "a request has a verb"),
        (b'{"asyncnet": 1, "verb": "x", "arguments": []}\n', RefusalKind.USAGE, "map of arguments"),
    ],
)
def test_what_is_no_request_is_refused(line: bytes, kind: RefusalKind, told: str) -> None:
    with pytest.raises(Refused, match=told) as caught:
        parse_request(line)
    assert caught.value.kind is kind


@pytest.mark.parametrize("line", [b"", b"220 mx.test ESMTP\n", b"{}\n", b'{"asyncnet": 1}\n'])
def test_what_is_no_answer_is_noticed(line: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_answer(line)


def test_an_answer_of_another_version_is_noticed() -> None:
    line = json.dumps({"asyncnet": VERSION + 1, "answer": []}).encode()
    with pytest.raises(Unreadable, match="of this version"):
        parse_answer(line)


def test_a_refusal_is_understood_across_versions() -> None:
    """It is how an old daemon tells a new command that it is old."""
    line = b'{"asyncnet": 7, "refusal": {"kind": "moon", "text": "full"}}\n'
    with pytest.raises(Refused, match="full") as caught:
        parse_answer(line)
    assert caught.value.kind is RefusalKind.FAULT
