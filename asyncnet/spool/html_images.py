"""The images that an HTML body shows, and local ones made to come along (RFC 2392).  No I/O."""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

# An img tag, its quoted attribute values skipped as wholes; a comment is passed over, closed
# or not.  Possessive throughout: whatever the text, each character is looked at a bounded
# number of times.
_TAG = re.compile(
    r"""<!--(?:.*?-->|.*)|<img(?=[\s/])((?:[^<>"']|"[^"]*+"|'[^']*+')*+)>""",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(
    r"""[^\s"'<>/=]++(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'=<>`]++)))?+""",
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
    """Replace the src of each local image by the content id that cid_of gives for its path.

    cid_of returns None where the file cannot go along; the src stays as it is then.
    """
    remote: dict[str, None] = {}
    unusable: dict[str, None] = {}

    def replace(match: re.Match[str]) -> str:
        attributes = match[1]
        source = _source(attributes) if attributes else None
        if source is None:
            return match[0]
        url = html.unescape(attributes[slice(*source)]).strip()
        if url.startswith("//") or url.lower().startswith(("http:", "https:")):
            remote[url] = None
        elif _SCHEME.match(url) or not url:
            if url and not url.lower().startswith(("cid:", "data:")):
                unusable[url] = None
        elif (cid := cid_of(local_path(url))) is not None:
            start, end = (match.start(1) - match.start() + edge for edge in source)
            return f"{match[0][:start]}cid:{cid}{match[0][end:]}"
        return match[0]

    replaced = _TAG.sub(replace, text)
    cids = frozenset(unquote(html.unescape(cid)) for cid in _CID.findall(replaced))
    return Images(replaced, cids, tuple(remote), tuple(unusable))


def local_path(url: str) -> str:
    """The path of a relative URL: without query and fragment, percent-encoding undone."""
    return unquote(re.split(r"[?#]", url, maxsplit=1)[0])


def _source(attributes: str) -> tuple[int, int] | None:
    """Where the value of the first src attribute lies."""
    for match in _ATTRIBUTE.finditer(attributes):
        name = re.split(r"[\s=]", match[0], maxsplit=1)[0]
        if name.lower() == "src" and match.lastindex:
            return match.span(match.lastindex)
    return None
