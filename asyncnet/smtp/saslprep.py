"""Passwords and user names in one spelling, so that both ends digest the same octets.  No I/O.

RFC 4013 (SASLprep) on RFC 3454 (stringprep): an "é" typed as one character or as two is the
same password.
"""

import stringprep
from collections.abc import Callable
from unicodedata import ucd_3_2_0

# RFC 4013 section 2.3, and unassigned code points, which a stored string may not have (section
# 2.5; RFC 5802 section 2.2 calls ours one).
_PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str | None:
    """The prepared text; None where RFC 4013 allows none."""
    mapped = (
        " " if stringprep.in_table_c12(sign) else sign
        for sign in text
        if not stringprep.in_table_b1(sign)
    )
    prepared = ucd_3_2_0.normalize("NFKC", "".join(mapped))
    if any(within(sign) for sign in prepared for within in _PROHIBITED):
        return None
    return prepared if _one_direction(prepared) else None


def saslprep_or_as_is(text: str) -> str:
    """The prepared text, or the text itself where it cannot be prepared.

    SASLprep knows Unicode 3.2 of the year 2002, and would shut out whoever has a newer letter
    or an emoji in the password.  PostgreSQL goes on in the same way, and servers that never
    prepare anything agree with it.
    """
    prepared = saslprep(text)
    return text if prepared is None else prepared


def _one_direction(text: str) -> bool:
    """RFC 3454 section 6: right-to-left all the way, from first to last, or not at all."""
    if not any(stringprep.in_table_d1(sign) for sign in text):
        return True
    return (
        not any(stringprep.in_table_d2(sign) for sign in text)
        and stringprep.in_table_d1(text[0])
        and stringprep.in_table_d1(text[-1])
    )
