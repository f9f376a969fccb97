"""File names are made safe for every system, and readable ones stay as they are."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.spool.file_names import MAX_NAME_CHARACTERS, MAX_NAME_OCTETS, safe_name


@pytest.mark.parametrize(
    "name",
    [
        "report.pdf",
        "报告 😀.pdf",
        ".bashrc",
        "a.tar.gz",
        "no ending",
        'quote"and;semicolon.txt',
        "family 👨\u200d👩\u200d👧.png",
        "نامه\u200cها.pdf",
        "全角\u3000スペース.txt",
        "console.txt",
        "com10.txt",
        "null",
        "x" * 145 + ".pdf",
    ],
)
def test_good_names_stay(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("/etc/passwd", "passwd"),
        ("../../x.txt", "x.txt"),
        ("C:\\Users\\me\\x.doc", "x.doc"),
        ("dir/", "dir"),
        ("a\r\nb\0.txt", "a__b_.txt"),
        ("a\tb\x7f\x85.txt", "a_b__.txt"),
        ("line\u2028and\u2029paragraph.txt", "line_and_paragraph.txt"),
        ("cod\u202efdp.exe", "codfdp.exe"),
        ("\u2066x\u2069\u200f.txt", "x.txt"),
        ("soft\u00adhyphen\ufeff.txt", "soft_hyphen_.txt"),
        ("half\ud800.txt", "half_.txt"),
        ("..", "attachment"),
        ("...", "attachment"),
        ("", "attachment"),
        ("  ", "attachment"),
        ("\u202e", "attachment"),
        ("x.exe.", "x.exe"),
        ("." * 200 + "x" * 20, "attachment"),
        ("x.exe . .", "x.exe"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1.tar.gz", "_com1.tar.gz"),
        ("LPT² .txt", "_LPT² .txt"),
        ("x" * 300 + ".pdf", "x" * 145 + ".pdf"),
        ("x" * 300, "x" * 149),
        ("x" * 300 + "." + "y" * 20, "x" * 149),
        ("." + "x" * 300, "." + "x" * 148),
        ("报" * 100 + ".pdf", "报" * 78 + ".pdf"),
    ],
)
def test_other_names_are_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text() | st.text("CON./\\ \u202ea", max_size=12) | st.text("😀.", min_size=60))
def test_any_name_is_made_safe(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe) <= MAX_NAME_CHARACTERS
    assert len(safe.encode()) <= MAX_NAME_OCTETS
    assert not set(safe) & set("/\\")
    assert safe == safe.rstrip(". ")
    kinds = {unicodedata.category(c) for c in safe if c not in "\u200c\u200d"}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert safe_name(safe) == safe
