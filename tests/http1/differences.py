"""Where our judge of request heads differs from h11 and from llhttp, and why.

h11 (Python) and llhttp (C, in node and in httptools) are parsers for any server: what a head asks
for, and whether this site may answer it, they leave to whoever uses them.  Our judge is the site's
own and strict: whatever two readers of one head could read in two ways is refused, since that is
how requests are smuggled past a proxy.
"""

import re
from dataclasses import dataclass

H11, LLHTTP = "h11", "llhttp"

_BARE_LF = rb"(?:^|[^\r])\n"
_REQUEST_LINE = rb"\A(?:\r\n)?[^\r\n]*"


@dataclass(frozen=True)
class Difference:
    """One reason to judge otherwise than they do.

    fault is ours when we refuse what they accept, None when we accept what they refuse.  A head
    belongs here when pattern is found in it; example is the shortest one worth reading.
    """

    name: str
    why: str
    fault: str | None
    pattern: bytes
    example: bytes
    parsers: tuple[str, ...] = (H11, LLHTTP)

    def explains(self, head: bytes, fault: str | None, parser: str) -> bool:
        return (
            fault == self.fault
            and parser in self.parsers
            and re.search(self.pattern, head, re.IGNORECASE | re.MULTILINE) is not None
        )


DIFFERENCES = (
    Difference(
        "another method than GET",
        "our promise: everything but GET is 400.  h11 takes any token, llhttp those it knows",
        "method is not GET",
        rb"\A(?:\r\n)?(?!(?-i:GET) )[^ \r\n]+ [^\r\n]* HTTP/",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Difference(
        "a target that names no page of an HTTP site",
        "RFC 9112 sections 3.2.1 to 3.2.4 and RFC 9110 section 4.1: asterisk-form, authority-form,"
        " fragments, broken percent-encoding.  They hand on whatever stands between two spaces",
        "malformed target",
        _REQUEST_LINE + rb"GET +[^ ]+ ",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Difference(
        "an encoded control in the target",
        "no page is named by one; they do not decode at all",
        "encoded control in target",
        _REQUEST_LINE + rb"GET [^ ]*%(?:[01][0-9a-f]|7f)",
        b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Difference(
        "a Host that is none",
        "RFC 9112 section 3.2: a server MUST answer 400; they leave the value to the application",
        "malformed Host",
        rb"^host:",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    ),
    Difference(
        "no Host at all",
        "RFC 9112 section 3.2: a server MUST answer 400; llhttp leaves it to the application",
        "no Host",
        _REQUEST_LINE + rb" HTTP/1\.[1-9]\r",
        b"GET / HTTP/1.1\r\n\r\n",
        (LLHTTP,),
    ),
    Difference(
        "no Host in HTTP/1.2 and above",
        "RFC 9110 section 2.5: read as the highest minor version we know; h11 asks it of 1.1 alone",
        "no Host",
        _REQUEST_LINE + rb" HTTP/1\.[2-9]\r",
        b"GET / HTTP/1.2\r\n\r\n",
        (H11,),
    ),
    Difference(
        "a second Host",
        "RFC 9112 section 3.2: a server MUST answer 400; llhttp leaves it to the application",
        "second Host",
        rb"^host:(?:.|\s)*^host:",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        (LLHTTP,),
    ),
    Difference(
        "a line of HTTP/0.9",
        "our promise is HTTP/1; llhttp still reads what browsers gave up in 1996",
        "no request-line of HTTP/1",
        rb"\A(?:\r\n)?[^ ]+ +[^ ]+\r\n",
        b"GET /\r\n\r\n",
        (LLHTTP,),
    ),
    Difference(
        "more than one space in the request-line",
        "RFC 9112 section 3 lets a recipient be lenient; we read what is written, llhttp skips it",
        "no request-line of HTTP/1",
        _REQUEST_LINE + rb"  ",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        (LLHTTP,),
    ),
    Difference(
        "another major version",
        "RFC 9110 section 2.5: it is another protocol; h11 looks at the form of the version alone,"
        " llhttp lets 0.9 and 2.0 pass",
        "no request-line of HTTP/1",
        _REQUEST_LINE + rb" HTTP/[02-9]\.[0-9]",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    ),
    Difference(
        "HTTP/1.2 to HTTP/1.9",
        "RFC 9110 section 2.5: a higher minor version is read as ours; llhttp knows 1.0 and 1.1",
        None,
        _REQUEST_LINE + rb" HTTP/1\.[2-9]\r",
        b"GET / HTTP/1.9\r\nHost: a\r\n\r\n",
        (LLHTTP,),
    ),
    Difference(
        "one empty line before the request",
        "RFC 9112 section 2.2: a server SHOULD ignore at least one; h11 refuses it",
        None,
        rb"\A\r\n",
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        (H11,),
    ),
    Difference(
        "more than one empty line before the request",
        "RFC 9112 section 2.2 asks for one; llhttp would swallow empty lines for ever",
        "empty lines before the request",
        rb"\A\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        (LLHTTP,),
    ),
    Difference(
        "a lone LF or CR before the request",
        "RFC 9112 section 2.2 speaks of CRLF; llhttp skips either octet in any number",
        "does not begin with a method",
        rb"\A(?:\r\n)?\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        (LLHTTP,),
    ),
    Difference(
        "a lone CR before the request",
        "as the LF",
        "bare CR",
        rb"\A(?:\r\n)?\r(?!\n)",
        b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        (LLHTTP,),
    ),
    Difference(
        "bare LF in the head",
        "RFC 9112 section 2.2 allows a reader to take it for a line's end, and a proxy before us"
        " not to: that is a second request nobody saw",
        "bare LF",
        _BARE_LF,
        b"GET / HTTP/1.1\nHost: a\n\n",
        (H11,),
    ),
    Difference(
        "bare LF behind a line of HTTP/0.9",
        "the same; llhttp refuses it elsewhere",
        "bare LF",
        rb"\A(?:\r\n)?[^ \r\n]+ +[^ \r\n]+\n",
        b"GET /\n\r\n",
        (LLHTTP,),
    ),
    Difference(
        "a fold",
        "RFC 9112 section 5.2: a server MUST refuse it or put a space in its place; h11 does that",
        "malformed field line",
        rb"\n[ \t]",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        (H11,),
    ),
    Difference(
        "a control other than NUL, CR and LF in a value",
        "RFC 9110 section 5.5 calls it invalid and lets a recipient keep it; nobody honest sends"
        " one, and a log that shows it is a terminal's trouble",
        "control",
        rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[2J\r\n\r\n",
        (H11,),
    ),
    Difference(
        "a list of equal lengths",
        "RFC 9110 section 8.6 lets a recipient choose; we refuse, h11 folds them into one",
        "malformed Content-Length",
        rb"^content-length:[ \t]*[0-9]+[ \t]*,",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
        (H11,),
    ),
    Difference(
        "a fold in a length",
        "RFC 9112 section 5.2, as any fold",
        "malformed Content-Length",
        rb"^content-length:[ \t]*\r?\n[ \t]",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\n",
        (H11,),
    ),
    Difference(
        "two equal lengths, or a length behind a coding",
        "RFC 9110 section 8.6 and RFC 9112 section 6.1: the first is ours to choose, the second is"
        " how requests are smuggled; h11 lets the coding win",
        "two lengths",
        rb"^(?:content-length|transfer-encoding):(?:.|\s)*^content-length:",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        (H11,),
    ),
    Difference(
        "Transfer-Encoding in HTTP/1.0, behind a length or twice",
        "RFC 9112 section 6.1: treat the framing as faulty; h11 ignores the length and takes the"
        " coding in any version, llhttp leaves the version to the application",
        "Transfer-Encoding out of place",
        rb"^transfer-encoding:",
        b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    Difference(
        "an unknown Transfer-Encoding",
        "RFC 9112 section 6.1 asks for 501, our promise for 400; llhttp reads on as if there were"
        " no body, or to the end",
        "unknown Transfer-Encoding",
        rb"^transfer-encoding:",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        (LLHTTP,),
    ),
    Difference(
        "a fold in a Transfer-Encoding",
        "RFC 9112 section 5.2, as any fold; a coding that one reader sees and another does not",
        "unknown Transfer-Encoding",
        rb"^transfer-encoding:[^\r\n]*\r?\n[ \t]",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        (H11,),
    ),
)
