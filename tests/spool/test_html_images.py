"""Local images in HTML come along; all else stays as it was written."""

import itertools
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.letter import Octets
from asyncnet.spool.html_images import (
    LONGEST_CHARACTERS,
    MAX_EDITS,
    MAX_TOLD,
    Images,
    ImageScan,
    edited,
    images_of,
)
from asyncnet.spool.long_runs import characters, utf8_octets
from asyncnet.spool.text_file import Edited


def embed(*parts: str) -> tuple[str, list[str]]:
    asked: list[str] = []

    def cid_of(path: str) -> str:
        asked.append(path)
        return f"i{len(asked)}"

    scan = ImageScan(cid_of, characters)
    for part in parts:
        scan.receive(part)
    return edited("".join(parts), scan.end().edits), asked


@pytest.mark.parametrize(
    ("text", "becomes", "paths"),
    [
        ('<img src="a.png">', '<img src="cid:i1">', ["a.png"]),
        ("<IMG alt='x > y' SRC = 'a b.png' />", "<IMG alt='x > y' SRC = 'cid:i1' />", ["a b.png"]),
        ("<img src=a.png width=3>", "<img src=cid:i1 width=3>", ["a.png"]),
        ('<img\nsrc="a%20b.png?v=1#x">', '<img\nsrc="cid:i1">', ["a b.png"]),
        ('<img src="a&amp;b.png">', '<img src="cid:i1">', ["a&b.png"]),
        ('<img data-src="x.png" src="a.png">', '<img data-src="x.png" src="cid:i1">', ["a.png"]),
        ('<img src="a.png" src="b.png">', '<img src="cid:i1" src="b.png">', ["a.png"]),
        ("<img src><p src='x'>", "<img src><p src='x'>", []),
        ("<image src=x><imgs src=x>", "<image src=x><imgs src=x>", []),
        ("<!-- <img src=a.png> --><img src=b>", "<!-- <img src=a.png> --><img src=cid:i1>", ["b"]),
        ("<!-- <img src=a.png>", "<!-- <img src=a.png>", []),
        ('<img src="cid:x"><img src="data:,x">', '<img src="cid:x"><img src="data:,x">', []),
        ('<img src=""><img src="#x">', '<img src=""><img src="#x">', []),
        ('<p style="x:url(a.png)">', '<p style="x:url(cid:i1)">', ["a.png"]),
        ("<p style='x:URL( \"a.png\" )'>", "<p style='x:url(cid:i1)'>", ["a.png"]),
        ('<p style="x:url(&quot;a b.png&quot;)">', '<p style="x:url(cid:i1)">', ["a b.png"]),
        ("<td style=x:url(a.png) y>", "<td style=x:url(cid:i1) y>", ["a.png"]),
        ('<p style="color:&#114;ed">', '<p style="color:&#114;ed">', []),
        ("<p data-style='url(a)' src=b>", "<p data-style='url(a)' src=b>", []),
        ("<p>url(a.png)</p>", "<p>url(a.png)</p>", []),
        (
            "<style>a{x:url(a.png)} b > c{x:url('b.png')}</style><p>url(c)",
            "<style>a{x:url(cid:i1)} b > c{x:url(cid:i2)}</style><p>url(c)",
            ["a.png", "b.png"],
        ),
        ("<STYLE type=x>x:url(a.png)", "<STYLE type=x>x:url(cid:i1)", ["a.png"]),
        ("<style>/* url(a) */x:url(#b)</style>", "<style>/* url(a) */x:url(#b)</style>", []),
        ("<style>@import url(a.css);</style>", "<style>@import url(a.css);</style>", []),
        (
            "<style>@import 'x'; y:url(a)</style>",
            "<style>@import 'x'; y:url(cid:i1)</style>",
            ["a"],
        ),
        (
            "<style>/* */a:url(b)/**/c:url(d)</style><p style=x:url(e)>",
            "<style>/* */a:url(cid:i1)/**/c:url(cid:i2)</style><p style=x:url(cid:i3)>",
            ["b", "d", "e"],
        ),
        (
            "<style>/* */ { ( ) } : : url(b) ; /* */</style>",
            "<style>/* */ { ( ) } : : url(cid:i1) ; /* */</style>",
            ["b"],
        ),
        ("<!-- -- > - --><img src=a>", "<!-- -- > - --><img src=cid:i1>", ["a"]),
        ("<style></style><img src=a>", "<style></style><img src=cid:i1>", ["a"]),
        ("<style>url(</style><img src=a>", "<style>url(</style><img src=cid:i1>", ["a"]),
        ("<style>url(a</style>)<img src=b>", "<style>url(a</style>)<img src=cid:i1>", ["b"]),
        ('<p title="<img src=a><img src=b', '<p title="<img src=cid:i1><img src=b', ["a"]),
    ],
)
def test_the_source_of_a_local_image_is_replaced(text: str, becomes: str, paths: list[str]) -> None:
    assert embed(text) == (becomes, paths)
    assert embed(*text) == (becomes, paths)
    for cut in range(len(text)):
        assert embed(text[:cut], text[cut:]) == (becomes, paths)


def test_references_of_all_kinds_are_told() -> None:
    images = images_of(
        '<img src="https://e.test/a.png"><img src="//e.test/b.png"><img src=https://e.test/a.png>'
        "<img src=file:///x><td background='cid:b%40x'><i style='x:url(cid:c)'><img src=local>"
        '<p style="background:url(&quot;http://e.test/c.png&quot;)"><b style="x:url(ftp://d)">'
        "<style>p{background:url(//e.test/d.png)}</style>",
        lambda path: None,
    )
    assert images.remote == (
        "https://e.test/a.png",
        "//e.test/b.png",
        "http://e.test/c.png",
        "//e.test/d.png",
    )
    assert images.unusable == ("file:///x", "ftp://d")
    assert images.cids == {"b@x", "c"}
    assert images.edits == ()


@pytest.mark.parametrize(
    "evil",
    [
        *("<img ", '<img "', "<!--", "<img src='", "<img '\"<img \"'", "<img =", "<img a = "),
        *("<style>", "<style ", "<style>x:url(", "<style>/*", "<style>@import", "<p style='url("),
        *("<p ", "<style>url( ", "<a:", "</style", "<style></style>", "&", "cid:"),
    ],
)
def test_no_html_takes_long(evil: str) -> None:
    started = time.process_time()
    images_of("<img " + evil * (1_000_000 // len(evil)) + ">", lambda path: None)
    assert time.process_time() - started < 20  # a search that grows with the square takes minutes


PIECES = st.sampled_from(
    [
        *("<img ", "<img src=", "src=", "style=", '"', "'", ">", "<", "</p>", "<p ", "<br/>"),
        *("<!--", "-->", "--", "<!", "<style>", "<style ", "</style>", "</STY", "<p style='url("),
        *("url(", ")", "url('a')", 'url("b")', "/*", "*/", "@import", "@im", ";", "u", "/", "="),
        *("a.png", "b c.png", "z", "#", "?", "cid:x", "cid:", "&quot;", "&amp;", "&#99;id:y", "&"),
        *("http://e.test/", "//x", "file:///", "data:image/png;base64,", " ", "\n", "\0", "é你"),
        *("\u2003", "\uffff", "A" * 300, "B" * 513, "C" * 1_400),
    ]
)


def scanned(parts: list[str], *, size: Callable[[str], int], longest: int) -> tuple[object, ...]:
    """All that comes of a text that is received in these parts."""
    asked: list[str] = []

    def cid_of(path: str) -> str | None:
        asked.append(path)
        return None if "z" in path else f"i{len(asked)}"

    scan = ImageScan(cid_of, size, longest)
    for part in parts:
        scan.receive(part)
    images = scan.end()
    if size is characters:
        return edited("".join(parts), images.edits), asked, replace(images, edits=())
    octets = "".join(parts).encode()
    edits = tuple((start, end, new.encode()) for start, end, new in images.edits)
    made = b"".join(Edited(Octets(octets), edits).blocks())
    return made.decode(), asked, replace(images, edits=())


@given(st.lists(PIECES, max_size=40), st.lists(st.integers(0, 5_000), max_size=8), st.booleans())
def test_it_does_not_matter_where_the_text_is_cut(
    pieces: list[str], cuts: list[int], limited: bool
) -> None:
    text = "".join(pieces)
    longest = 60 if limited else LONGEST_CHARACTERS
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    parts = [text[start:end] for start, end in itertools.pairwise(places)]
    whole = scanned([text], size=characters, longest=longest)
    assert scanned(parts, size=characters, longest=longest) == whole
    assert scanned(parts, size=utf8_octets, longest=longest) == whole
    if len(text) < 2_000:
        assert scanned(list(text), size=characters, longest=longest) == whole


@given(st.lists(PIECES, max_size=20), st.integers(600, 5_000))
def test_it_does_not_matter_how_much_data_is_left_out(pieces: list[str], octets: int) -> None:
    """A text with long runs is edited as the same text with just so long ones is."""

    def edits(run: str) -> tuple[str, object]:
        text = "".join(run if piece.startswith("C" * 9) else piece for piece in pieces)
        made, _, images = scanned([text], size=characters, longest=LONGEST_CHARACTERS)
        assert isinstance(made, str)
        assert isinstance(images, Images)
        return made.replace(run, "C" * 600), images.cids

    assert edits("C" * octets) == edits("C" * 600)


@pytest.mark.parametrize(
    ("text", "path"),
    [("<img src={}>", "a" * 30), ("<style>x:url({})", "b" * 40), ("<p style=x:url({})>", "c" * 20)],
)
def test_what_is_too_long_is_passed_over_wherever_it_is_cut(text: str, path: str) -> None:
    text = text.format(path)
    tag = text.removeprefix("<style>x:")
    for longest in (len(tag) - 1, len(tag)):
        whole = scanned([text], size=characters, longest=longest)
        assert (whole[1] == [path]) == (longest == len(tag))
        for cut in range(len(text)):
            parts = [text[:cut], text[cut:]]
            assert scanned(parts, size=characters, longest=longest) == whole


@pytest.mark.parametrize("octets", [510, 511, 512, 513, 514, 520, 521, 522])
def test_data_is_left_out_from_one_length_on(octets: int) -> None:
    text = "<img src='//" + "B" * octets + "'>"
    whole = images_of(text, lambda path: None)
    for cut in (12, 200, 300, len(text) - 3, len(text) - 2, len(text) - 1):
        scan = ImageScan(lambda path: None, characters)
        scan.receive(text[:cut])
        scan.receive(text[cut:])
        assert scan.end() == whole


DATA = "data:image/png;base64," + "iVBORw0KGgo+/0" * 400_000


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ('<img src="{}"><img src="a">', '<img src="{}"><img src="cid:i1">'),
        ("<img src={} ><img src=a>", "<img src={} ><img src=cid:i1>"),
        (
            '<img src="a" style="x:url({}) y:url(b)">',
            '<img src="cid:i2" style="x:url({}) y:url(cid:i1)">',
        ),
        (
            '<p style="x:url(a) y:url(&quot;{}&quot;)">',
            '<p style="x:url(cid:i1) y:url(&quot;{}&quot;)">',
        ),
        (
            "<style>a{{x:url({})}} b{{x:url(c)}}</style>",
            "<style>a{{x:url({})}} b{{x:url(cid:i1)}}</style>",
        ),
        ('<!-- {} --><img src="a">', '<!-- {} --><img src="cid:i1">'),
        ('<p title="{}" style="x:url(a)">', '<p title="{}" style="x:url(cid:i1)">'),
        ('<img src="a?{}">', '<img src="cid:i1">'),
        ('{}<img src="a">{}', '{}<img src="cid:i1">{}'),
    ],
)
def test_data_of_megabytes_passes_and_is_not_kept(text: str, becomes: str) -> None:
    text = text.format(DATA, DATA) if text.count("{}") > 1 else text.format(DATA)
    asked: list[str] = []

    def cid_of(path: str) -> str:
        asked.append(path)
        return f"i{len(asked)}"

    scan = ImageScan(cid_of, characters)
    tracemalloc.start()
    try:
        for start in range(0, len(text), 16_384):
            scan.receive(text[start : start + 16_384])
        images = scan.end()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert edited(text, images.edits) == becomes.format(DATA, DATA)
    assert peak < 1_000_000


def test_data_in_lines_passes_too() -> None:
    wrapped = 'src="data:image/png;base64,' + ("iVBORw0KGgo+/0" * 5 + "\n") * 30_000
    text = f'<img {wrapped}"><img src="a">'
    images = images_of(text, lambda path: "i1")
    assert edited(text, images.edits) == f'<img {wrapped}"><img src="cid:i1">'


def test_a_quote_that_is_never_closed_costs_no_image() -> None:
    text = '<a href="x>' + '<p class="y">text</p>' * 20_000 + '<img src="a">'
    assert edited(text, images_of(text, lambda path: "i1").edits).endswith('<img src="cid:i1">')


def test_places_without_number_are_told_and_not_kept() -> None:
    images = images_of("<img src=a>" * (MAX_EDITS + 1), lambda path: "i1")
    assert images.too_many
    assert len(images.edits) == MAX_EDITS
    text = "".join(f"<img src=//e.test/{number}>" for number in range(MAX_TOLD + 1))
    assert len(images_of(text, lambda path: None).remote) == MAX_TOLD
