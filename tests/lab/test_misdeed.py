"""The grammar of misdeeds, address by address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.lab.misdeed import Deed, Misdeed, NoSuchMisdeed, Place, misdeed_of


@pytest.mark.parametrize(
    ("local", "misdeed"),
    [
        ("reject", Misdeed(Deed.REFUSE, Place.RCPT, code=550)),
        ("reject-552", Misdeed(Deed.REFUSE, Place.RCPT, code=552)),
        ("reject-452", Misdeed(Deed.REFUSE, Place.RCPT, code=452)),
        ("reject-554-dot", Misdeed(Deed.REFUSE, Place.DOT, code=554)),
        ("reject-data", Misdeed(Deed.REFUSE, Place.DATA, code=550)),
        ("defer", Misdeed(Deed.REFUSE, Place.RCPT, code=451)),
        ("defer-451-once", Misdeed(Deed.REFUSE, Place.RCPT, 1, code=451)),
        ("defer-450-dot-twice", Misdeed(Deed.REFUSE, Place.DOT, 2, code=450)),
        ("drop", Misdeed(Deed.DROP, Place.RCPT)),
        ("drop-after-dot", Misdeed(Deed.DROP, Place.AFTER_DOT)),
        ("DROP-After-Dot-Once", Misdeed(Deed.DROP, Place.AFTER_DOT, 1)),
        ("hang-dot+mary", Misdeed(Deed.HANG, Place.DOT)),
        ("delay", Misdeed(Deed.DELAY, Place.RCPT, delay_s=1.0)),
        ("delay-300ms-data", Misdeed(Deed.DELAY, Place.DATA, delay_s=0.3)),
        ("delay-5s-after-dot", Misdeed(Deed.DELAY, Place.AFTER_DOT, delay_s=5.0)),
    ],
)
def test_a_local_part_asks_for_a_misdeed(local: str, misdeed: Misdeed) -> None:
    assert misdeed_of(f"{local}@example.org") == misdeed


@pytest.mark.parametrize("local", ["ada", "rejected", "dropbox", "hangar-7", "ada+reject-550", ""])
def test_other_recipients_are_ordinary(local: str) -> None:
    assert misdeed_of(f"{local}@example.org") is None


@pytest.mark.parametrize(
    "local",
    ["reject-55", "reject-250", "reject-550-dto", "drop-451", "delay-5", "hang-once-dot", "drop-"],
)
def test_a_typing_error_is_no_ordinary_recipient(local: str) -> None:
    with pytest.raises(NoSuchMisdeed):
        misdeed_of(f"{local}@example.org")


@given(st.text())
def test_any_text_is_a_misdeed_none_or_refused(address: str) -> None:
    try:
        misdeed = misdeed_of(address)
    except NoSuchMisdeed:
        return
    assert misdeed is None or misdeed.deed in Deed
