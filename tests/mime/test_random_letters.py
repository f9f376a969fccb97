"""Letters that nobody thought of, read back by readers of other lineages."""

from collections.abc import Iterator

import pytest
from hypothesis import assume, given, settings

from asyncnet.mail.letter import Letter
from tests.mime.letters import LETTERS
from tests.mime.readers import READERS, Reader, running_readers
from tests.mime.said import composed, differences, structure_said


@pytest.fixture(scope="module")
def readers() -> Iterator[dict[str, Reader]]:
    with running_readers() as running:
        yield running


def test_all_three_readers_judge() -> None:
    if "Email::MIME" not in READERS:
        pytest.skip("the third reader was LEFT OUT: apt-get install libemail-mime-perl")
    assert len(READERS) == 3


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=150)
@given(letter=LETTERS)
def test_a_random_letter_is_read_back(
    reader: str, readers: dict[str, Reader], letter: Letter
) -> None:
    if reader == "mailparse":  # it tells no Sender, and takes exotic blanks off a name's ends
        letter = letter._replace(sender=None)
        people = (letter.from_, *letter.reply_to, *letter.to, *letter.cc)
        assume(all(one.name.strip() == one.name for one in people))
    octets = composed(letter)
    assert differences(readers[reader](octets), letter, structure_said(letter)) == set()
