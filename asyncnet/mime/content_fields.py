"""What the header of a given part says of its content (RFC 2045, 2183, 2231, 2047).  No I/O.

For showing, so nothing is refused: what cannot be understood counts as not said, as RFC 2045
section 5.2 wants it.
"""

import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MAX_NAME_CHARACTERS = 255  # of a file name; no file system takes more
MAX_PARAMETERS = 100
_MAX_WORD_CHARACTERS = 60  # of a media type or an encoding: the longest registered are shorter

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_TOKEN = re.compile(r"[!#-'*+.0-9A-Z^-~-]+", re.ASCII)
_MEDIA_TYPE = re.compile(rf"\s*({_TOKEN.pattern}/{_TOKEN.pattern})\s*(?=[;(]|$)")
_PARAMETER = re.compile(r';\s*([^\s=;"]++)\s*=\s*(?:"((?:[^"\\]|\\.)*+)|([^;"]++))', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_SECTION = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*)?")  # RFC 2231 section 4.1
_ENCODED_WORD = re.compile(r"=\?([^?*\s]{1,40})(?:\*[^?\s]*)?\?([BbQq])\?([^?]*)\?=(\s+(?==\?))?")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_Q = re.compile(rb"=([0-9A-Fa-f]{2})")

# Python knows far more codecs than mail has charsets, and some of them are none.
_CHARSET = re.compile(
    r"us-ascii|utf-?8|iso-8859-[0-9]{1,2}|windows-125[0-8]|gbk|gb2312|gb18030|big5|shift_jis|"
    r"euc-(?:jp|kr)|iso-2022-(?:jp|kr)|koi8-[ru]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ContentFields:
    """media_type is in small letters, without parameters; None and "" mean not said."""

    media_type: str
    encoding: str = ""
    boundary: bytes | None = None
    name: str | None = None
    cid: str | None = None
    method: str | None = None  # of an invitation (RFC 6047 section 2.4)


def begins_field(line: bytes) -> bool:
    """Whether the line begins a header field, or goes on with one."""
    return line[:1] in (b" ", b"\t") or _FIELD.match(line) is not None


def is_content_field(line: bytes) -> bool:
    """Whether a field begins here that content_fields() wants to see."""
    return line[:8].lower() == b"content-"


def content_fields(lines: Sequence[bytes], default_type: str) -> ContentFields:
    """What the lines of a header say, CRLFs left out.  Of a repeated field the first counts."""
    values = _values(lines)
    described = values.get("content-type", "")
    media_type = _MEDIA_TYPE.match(described)
    parameters = _parameters(described)
    disposition = _parameters(values.get("content-disposition", ""))
    encoding = _TOKEN.match(values.get("content-transfer-encoding", ""))
    boundary = parameters.get("boundary", "").rstrip(" ")
    cid = values.get("content-id", "").strip(" <>")
    return ContentFields(
        media_type=(media_type[1] if media_type else default_type)[:_MAX_WORD_CHARACTERS].lower(),
        encoding=encoding[0][:_MAX_WORD_CHARACTERS].lower() if encoding else "",
        boundary=boundary.encode("utf-8", "surrogateescape") if boundary else None,
        name=_shown(disposition.get("filename") or parameters.get("name", "")),
        cid=_shown(cid),
        method=_shown(parameters.get("method", "")),
    )


def _values(lines: Sequence[bytes]) -> dict[str, str]:
    """The Content- fields, unfolded."""
    values: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if name:
                values[name] += line.decode("utf-8", "surrogateescape")
            continue
        found = _FIELD.match(line)
        name = found[1].decode("ascii").lower() if found else ""
        if found is None or not name.startswith("content-") or name in values:
            name = ""
            continue
        values[name] = line[found.end() :].strip(b" \t").decode("utf-8", "surrogateescape")
    return values


def _parameters(value: str) -> Mapping[str, str]:
    """The parameters as they are meant; of two with one name the first counts.

    A file's name that is escaped is what it is, though it may look like an encoded word.
    """
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, text in _written(value):
        parts = _SECTION.fullmatch(name)
        if parts is None or not (parts[2] or parts[3]):
            plain.setdefault(name, text)
        else:
            section = sections.setdefault(parts[1], {})
            section.setdefault(int(parts[2] or 0), (text, bool(parts[3])))
    literal = plain | {name: _joined(numbered) for name, numbered in sections.items()}
    escaped = {name for name, it in sections.items() if any(mark for _, mark in it.values())}
    for name in literal.keys() & {"name", "filename"} - escaped:
        literal[name] = _decoded_words(literal[name])
    return literal


def _written(value: str) -> Iterator[tuple[str, str]]:
    for number, found in enumerate(_PARAMETER.finditer(value)):
        if number == MAX_PARAMETERS:
            return
        quoted = found[2]
        text = found[3].strip() if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
        yield found[1].lower(), text


def _joined(numbered: Mapping[int, tuple[str, bool]]) -> str:
    """The sections up to the first that is missing, decoded together: a cut may fall within
    a character.
    """
    charset, octets = "", b""
    for number in range(len(numbered)):
        if number not in numbered:
            break
        text, escaped = numbered[number]
        if escaped and number == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        raw = text.encode("utf-8", "surrogateescape")
        octets += _PERCENT.sub(lambda it: bytes.fromhex(it[1].decode()), raw) if escaped else raw
    return _decoded(octets, charset)


def _decoded_words(text: str) -> str:
    """No RFC allows encoded words in a parameter, and most programs write them there."""
    return _ENCODED_WORD.sub(_decoded_word, text) if "=?" in text else text


def _decoded_word(word: re.Match[str]) -> str:
    octets = word[3].encode("utf-8", "surrogateescape")
    if word[2] in "Bb":
        try:
            octets = binascii.a2b_base64(octets + b"==")
        except binascii.Error:
            return word[0]
    else:
        octets = _Q.sub(lambda it: bytes.fromhex(it[1].decode()), octets.replace(b"_", b" "))
    return _decoded(octets, word[1])


def _decoded(octets: bytes, charset: str) -> str:
    known = charset if _CHARSET.fullmatch(charset) else "utf-8"
    try:
        return octets.decode(known, "replace")
    except LookupError:  # iso-8859-12 was never made
        return octets.decode("utf-8", "replace")


def _shown(text: str) -> str | None:
    """For people: no half characters, not without end; None: nothing."""
    if not text:
        return None
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text if len(text) <= MAX_NAME_CHARACTERS else f"{text[:MAX_NAME_CHARACTERS]}…"
