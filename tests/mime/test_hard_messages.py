"""The hard letters read back by three readers of different lineages: each must find all."""

from collections.abc import Iterator

import pytest

from asyncnet.mime.message import compose
from tests.mime.hard_letters import HARD_LETTERS, UTF8_LETTERS, HardLetter
from tests.mime.readers import READERS, Reader, running_readers
from tests.mime.reading import assert_fit_to_send, assert_lines_are_short, read
from tests.mime.said import composed, differences

# Where a reader is known to be wrong: the row, the reader, what is not believed of it, and why.
# The other two readers are believed, and must be right, in every one of these.
_NO_NONCHARACTERS = "Perl's strict UTF-8 refuses noncharacters, which Unicode allows to pass on"
NOT_BELIEVED = {
    ("subject with noncharacters and the last code point", "Email::MIME"): (
        {"texts"},
        _NO_NONCHARACTERS,
    ),
    ("text with noncharacters", "Email::MIME"): ({"text"}, _NO_NONCHARACTERS),
    ("HTML with noncharacters", "Email::MIME"): ({"text"}, _NO_NONCHARACTERS),
    ("address quoted with two dots", "Email::MIME"): (
        {"mailboxes"},
        "Email::Address::XS takes the quotes off a..b, which is no dot-atom",
    ),
    ("address quoted with angles", "mailparse"): (
        {"mailboxes"},
        "its address reader takes any < for the beginning of an address",
    ),
    ("a sender who is not the author", "mailparse"): (
        {"mailboxes"},
        "fast-mail-parser has no call for the addresses of Sender",
    ),
    ("a long name of a field", "mailparse"): (
        {"texts"},
        "it keeps the blank of a fold right behind the colon",
    ),
}


@pytest.fixture(scope="module")
def readers() -> Iterator[dict[str, Reader]]:
    with running_readers() as running:
        yield running


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("hard", HARD_LETTERS, ids=lambda hard: hard.name)
def test_a_hard_letter_is_read_back(
    hard: HardLetter, reader: str, readers: dict[str, Reader]
) -> None:
    octets = composed(hard.letter)
    assert_fit_to_send(octets)
    not_believed, _ = NOT_BELIEVED.get((hard.name, reader), (set(), ""))
    # Equal, not within, so that a row is struck out when its reader has learnt better.
    assert differences(readers[reader](octets), hard.letter, hard.structure) == not_believed


@pytest.mark.parametrize("hard", HARD_LETTERS, ids=lambda hard: hard.name)
def test_a_hard_letter_has_short_lines(hard: HardLetter) -> None:
    assert_lines_are_short(read(composed(hard.letter)))


@pytest.mark.parametrize("reader", ["email", "mailparse"])  # Email::MIME knows no RFC 6532
@pytest.mark.parametrize("hard", UTF8_LETTERS, ids=lambda hard: hard.name)
def test_a_letter_for_smtputf8_is_read_back(
    hard: HardLetter, reader: str, readers: dict[str, Reader]
) -> None:
    octets = composed(hard.letter)
    assert_fit_to_send(octets, ascii_only=False)
    assert compose(hard.letter).needs_smtputf8
    assert differences(readers[reader](octets), hard.letter, hard.structure) == set()


def test_the_table_is_long_and_its_names_are_unique() -> None:
    names = [hard.name for hard in HARD_LETTERS]
    assert len(names) >= 150
    assert len(set(names)) == len(names)
    for row in NOT_BELIEVED:
        assert row[0] in names
    assert len({name for name, _ in NOT_BELIEVED}) == len(NOT_BELIEVED)  # one reader each
