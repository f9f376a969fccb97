"""The images that an HTML body shows, and local ones made to come along (RFC 2392).  No I/O.

Looked at are the src of img, url() in style attributes and url() in style elements.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

# A comment or a style element, closed or not, or a tag, its quoted attribute values skipped as
# wholes.  Possessive throughout: whatever the text, each character is looked at a bounded
# number of times.
_ATTRIBUTES = r"""((?:[^<>"']|"[^"]*+"|'[^']*+')*+)>"""
_PIECE = re.compile(
    rf"""<!--(?:.*?-->|.*)|<style(?=[\s/>]){_ATTRIBUTES}((?:[^<]|<(?!/style))*+)"""
    rf"""|<([a-z][a-z0-9:-]*+)(?=[\s/]){_ATTRIBUTES}""",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(
    r"""[^\s"'<>/=]++(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'=<>`]++)))?+""",
)
# An @import and a comment are passed over.
_CSS_URL = re.compile(
    r"""/\*(?:.*?\*/|.*)|@import[^;]*+|url\(\s*+(?:"([^"\n]*+)"|'([^'\n]*+)'|([^\s"'()]++))\s*+\)""",
    re.IGNORECASE | re.DOTALL,
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+:")
_CID = re.compile(r"""cid:([^"'\s()<>]++)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Images:
    """What an HTML body refers to.  html has its local images replaced by cid: URLs.

    cids are those referred to anywhere in the body, the new ones included; remote are the
    http(s) addresses of images, each once; unusable are addresses of any other scheme.
    """

    html: str
    cids: frozenset[str]
    remote: tuple[str, ...]
    unusable: tuple[str, ...]


def embed_images(text: str, cid_of: Callable[[str], str | None]) -> Images:
    """Replace the address of each local image by the content id that cid_of gives for its path.

    cid_of returns None where the file cannot go along; the address stays as it is then.
    """
    work = _Embedding(cid_of)
    replaced = _PIECE.sub(work.piece, text)
    cids = frozenset(unquote(cid) for cid in _CID.findall(html.unescape(replaced)))
    return Images(replaced, cids, tuple(work.remote), tuple(work.unusable))


def local_path(url: str) -> str:
    """The path of a relative URL: without query and fragment, percent-encoding undone."""
    return unquote(re.split(r"[?#]", url, maxsplit=1)[0])


class _Embedding:
    """One body's images; what cannot come along gathers here, each once."""

    def __init__(self, cid_of: Callable[[str], str | None]) -> None:
        self.remote: dict[str, None] = {}
        self.unusable: dict[str, None] = {}
        self._cid_of = cid_of

    def piece(self, match: re.Match[str]) -> str:
        """A comment, style element or tag, with its local images replaced."""
        if match[2] is not None:  # the text of a style element knows no character references
            return match[0][: match.start(2) - match.start()] + self._css(match[2])
        if match[3] is None:
            return match[0]
        whole, base = match[0], match.start()
        is_image = match[3].lower() == "img"
        for start, end, is_style in reversed(_values(match[4], is_image=is_image)):
            value = html.unescape(match[4][start:end])
            new = self._style(value) if is_style else self._source(value)
            if new is not None:
                at = match.start(4) - base
                whole = f"{whole[: at + start]}{new}{whole[at + end :]}"
        return whole

    def _source(self, value: str) -> str | None:
        cid = self._cid(value.strip())
        return None if cid is None else f"cid:{cid}"

    def _style(self, value: str) -> str | None:
        css = self._css(value)
        return None if css == value else html.escape(css)

    def _css(self, css: str) -> str:
        def url(match: re.Match[str]) -> str:
            if not match.lastindex or match[match.lastindex].startswith("#"):
                return match[0]  # no address, or an element of the page itself
            cid = self._cid(match[match.lastindex].strip())
            return match[0] if cid is None else f"url(cid:{cid})"

        return _CSS_URL.sub(url, css)

    def _cid(self, url: str) -> str | None:
        """The content id of an image that comes along."""
        if url.startswith("//") or url.lower().startswith(("http:", "https:")):
            self.remote[url] = None
        elif _SCHEME.match(url) or not local_path(url):
            if url and not url.lower().startswith(("cid:", "data:")):
                self.unusable[url] = None
        else:
            return self._cid_of(local_path(url))
        return None


def _values(attributes: str, *, is_image: bool) -> list[tuple[int, int, bool]]:
    """Where the values of src and style lie, and which it is; the first of each counts."""
    found: dict[str, tuple[int, int, bool]] = {}
    for match in _ATTRIBUTE.finditer(attributes):
        name = re.split(r"[\s=]", match[0], maxsplit=1)[0].lower()
        if match.lastindex and (name == "style" or (name == "src" and is_image)):
            found.setdefault(name, (*match.span(match.lastindex), name == "style"))
    return sorted(found.values())
