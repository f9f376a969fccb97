"""Local images in HTML come along; all else stays as it was written."""

import time

import pytest

from asyncnet.spool.html_images import embed_images


def embed(text: str) -> tuple[str, list[str]]:
    asked: list[str] = []

    def cid_of(path: str) -> str:
        asked.append(path)
        return f"i{len(asked)}"

    return embed_images(text, cid_of).html, asked


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
    ],
)
def test_the_source_of_a_local_image_is_replaced(text: str, becomes: str, paths: list[str]) -> None:
    assert embed(text) == (becomes, paths)


def test_references_of_all_kinds_are_told() -> None:
    images = embed_images(
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
    assert "<img src=local>" in images.html


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
    embed_images("<img " + evil * (1_000_000 // len(evil)) + ">", lambda path: None)
    assert time.process_time() - started < 1.5
