"""The images that an HTML body shows, and local ones made to come along (RFC 2392).  No I/O.

Looked at are the src of img, url() in style attributes and url() in style elements.

The text comes bit by bit and is not kept: what is told are edits, places in the whole text with
what is to stand there.  A tag or url() is waited for until it is whole.  One longer than
LONGEST_CHARACTERS, data runs left out (long_runs.py), is passed over as if it were text, and an
address in it stays as it is: only data comes in such lengths, never a file's name.
"""

import html
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from asyncnet.spool.cid_references import CidReferences
from asyncnet.spool.css_urls import CssUrls, replace_urls
from asyncnet.spool.long_runs import MARK, Window, characters

LONGEST_CHARACTERS = 131_072
MAX_EDITS = 10_000  # as many as a job may have nodes; each is kept
MAX_TOLD = 1_000  # addresses of each kind; nobody reads more warnings
MAX_ADDRESS_CHARACTERS = 1_024  # kept of an address that is only told

# The attributes of a tag, quoted values skipped as wholes.  Possessive throughout: whatever the
# text, each character is looked at a bounded number of times.
_ATTRIBUTES = r"""((?:[^<>"']++|"[^"]*+"|'[^']*+')*+)"""
# What begins: a comment, a style element, any other tag.  Last what may be one of them once more
# text has come; at the end of the text it is none.
_BEGINNING = re.compile(
    rf"""(<!--)|(<style(?=[\s/>])){_ATTRIBUTES}>|<([a-z][a-z0-9:-]*+)(?=[\s/]){_ATTRIBUTES}>"""
    rf"""|(<(?:!-?|[a-z][a-z0-9:-]*+(?:(?=[\s/]){_ATTRIBUTES}(?:"[^"]*+|'[^']*+)?)?)?)\Z""",
    re.IGNORECASE,
)
_COMMENT, _STYLE, _TAG, _TAG_ATTRIBUTES, _UNDECIDED = 1, 2, 4, 5, 6
_ATTRIBUTE = re.compile(
    r"""([^\s"'<>/=]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'=<>`]++)))?+""",
)
_STYLE_END = re.compile("</style", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+:")

Edit = tuple[int, int, str]
"""Start and end of what is replaced, as offsets in the whole text, and what takes its place."""


@dataclass(frozen=True, slots=True)
class Images:
    """What an HTML body refers to.  edits make its local images cid: URLs, in their order.

    cids are those referred to anywhere in the body, the new ones included; remote are the
    http(s) addresses of images, each once; unusable are addresses of any other scheme.
    too_many: there are more than MAX_EDITS places to change, and not all are in edits.
    """

    edits: tuple[Edit, ...]
    cids: frozenset[str]
    remote: tuple[str, ...]
    unusable: tuple[str, ...]
    too_many: bool = False


def images_of(text: str, cid_of: Callable[[str], str | None]) -> Images:
    """The images of a text in memory; see ImageScan."""
    scan = ImageScan(cid_of, characters)
    scan.receive(text)
    return scan.end()


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text with edits made; their offsets are characters."""
    parts: list[str] = []
    at = 0
    for start, end, new in edits:
        parts += (text[at:start], new)
        at = end
    return "".join((*parts, text[at:])) if at else text


def local_path(url: str) -> str:
    """The path of a relative URL: without query and fragment, percent-encoding undone."""
    return unquote(re.split(r"[?#]", url, maxsplit=1)[0])


class ImageScan:
    """Looks through one body, however it is cut.

    cid_of gives the content id for a local image's path, or None where the file cannot go
    along: its address stays as it is then.  size is what offsets of edits count.
    """

    def __init__(
        self,
        cid_of: Callable[[str], str | None],
        size: Callable[[str], int],
        longest: int = LONGEST_CHARACTERS,
    ) -> None:
        self._addresses = _Addresses(cid_of)
        self._cids = CidReferences()
        self._window = Window(size)
        self._longest = longest
        self._edits: list[Edit] = []
        self._too_many = False
        self._within: Literal["text", "comment", "style"] = "text"
        self._css = CssUrls(longest)
        self._passed = 0  # how much of the window the edits are behind us
        self._passed_offset = 0

    def receive(self, text: str) -> None:
        """Look through what can be decided."""
        self._window.receive(text)
        self._look(complete=False)

    def end(self) -> Images:
        """All that was found; the scan is spent then."""
        self._window.end_run()
        self._look(complete=True)
        self._cids.end()
        return Images(
            tuple(self._edits),
            frozenset(self._cids.found),
            tuple(self._addresses.remote),
            tuple(self._addresses.unusable),
            self._too_many,
        )

    def _look(self, *, complete: bool) -> None:
        steps = {"text": self._text, "comment": self._comment, "style": self._style}
        place: int | None = 0
        done = 0
        while place is not None and place < len(self._window.text):
            done = place
            place = steps[self._within](place, complete)
            if place is not None and place < 0:  # so far, and more is needed
                done, place = ~place, None
        done = len(self._window.text) if place is not None else done
        self._pass(done)
        self._window.drop(done)
        self._passed = 0

    def _text(self, place: int, complete: bool) -> int:
        """Go on to what begins next; ~place where more text is needed from that place on."""
        text = self._window.text
        for found in _BEGINNING.finditer(text, place):
            start, end = found.span()
            if found.lastindex == _TAG_ATTRIBUTES and end - start <= self._longest:
                self._tag(found[_TAG], found[_TAG_ATTRIBUTES], found.start(_TAG_ATTRIBUTES))
                continue
            if found[_UNDECIDED] is not None:
                waits = not complete and len(text) - start < self._longest
                return ~start if waits else start + 1
            if end - start > self._longest:
                return start + 1
            if found[_COMMENT]:
                self._within = "comment"
            else:
                self._within, self._css = "style", CssUrls(self._longest)
            return end
        return len(text)

    def _comment(self, place: int, complete: bool) -> int:
        text = self._window.text
        end = text.find("-->", place)
        if end >= 0:
            self._within = "text"
            return end + len("-->")
        return len(text) if complete else ~max(place, len(text) - len("--"))

    def _style(self, place: int, complete: bool) -> int:
        """The text of a style element, which knows no character references."""
        text = self._window.text
        closing = _STYLE_END.search(text, place)
        if closing is not None:
            end, whole = closing.start(), True
        else:
            end, whole = len(text), complete
            if not complete:
                end = max(place, end - len("</style") + 1)
        for found in self._css.find(text, place, end, complete=whole):
            if isinstance(found, int):
                place = found
            elif (new := self._addresses.css_url(found[2])) is not None:
                self._replace(found[0], found[1], f"url({new})")
        if whole:
            self._within = "text"
            return end
        return ~place

    def _tag(self, name: str, attributes: str, base: int) -> None:
        is_image = name.lower() == "img"
        if not is_image and "style" not in attributes.lower():
            return
        replaced = []
        for start, end, is_style in reversed(_values(attributes, is_image=is_image)):
            value = html.unescape(attributes[start:end])
            new = self._addresses.style(value) if is_style else self._addresses.source(value)
            if new is not None:
                replaced.append((base + start, base + end, new))
        for start, end, new in reversed(replaced):
            self._replace(start, end, new)

    def _replace(self, start: int, end: int, new: str) -> None:
        """Note an edit.  Data that was left out of the window stays where it is in new."""
        marks = self._window.marks(start, end)
        kept = new.split(MARK)
        if marks and len(kept) > 1:
            if len(kept) != len(marks) + 1:
                return  # some went with an address: which, cannot be told
            for mark, piece in zip(marks, kept, strict=False):
                self._note(start, mark, piece)
                start = mark + len(MARK)
            new = kept[-1]
        self._note(start, end, new)

    def _note(self, start: int, end: int, new: str) -> None:
        self._pass(start)
        offset = self._passed_offset
        self._cids.receive(new)
        self._passed_offset += self._window.size(start, end)
        self._passed = end
        if len(self._edits) < MAX_EDITS:
            self._edits.append((offset, self._passed_offset, new))
        else:
            self._too_many = True

    def _pass(self, end: int) -> None:
        """Leave the text up to end as it is."""
        self._cids.receive(self._window.text[self._passed : end])
        self._passed_offset += self._window.size(self._passed, end)
        self._passed = end


class _Addresses:
    """Judges one body's addresses; what cannot come along gathers here, each once."""

    def __init__(self, cid_of: Callable[[str], str | None]) -> None:
        self.remote: dict[str, None] = {}
        self.unusable: dict[str, None] = {}
        self._cid_of = cid_of

    def source(self, value: str) -> str | None:
        """The cid: URL in place of an address, or None."""
        return self._cid_url(value.strip())

    def style(self, value: str) -> str | None:
        """A style attribute with its addresses replaced, or None where there are none."""
        if "url(" not in value.lower():
            return None
        css = replace_urls(value, self.css_url)
        return None if css == value else html.escape(css)

    def css_url(self, url: str) -> str | None:
        # "#x" is an element of the page itself.
        return None if url.startswith("#") else self._cid_url(url.strip())

    def _cid_url(self, url: str) -> str | None:
        if url.startswith("//") or url.lower().startswith(("http:", "https:")):
            _tell(self.remote, url)
        elif _SCHEME.match(url) or not local_path(url):
            if url and not url.lower().startswith(("cid:", "data:")):
                _tell(self.unusable, url)
        else:
            cid = self._cid_of(local_path(url))
            return None if cid is None else f"cid:{cid}"
        return None


def _tell(told: dict[str, None], url: str) -> None:
    if len(told) < MAX_TOLD:
        told[url[:MAX_ADDRESS_CHARACTERS]] = None


def _values(attributes: str, *, is_image: bool) -> list[tuple[int, int, bool]]:
    """Where the values of src and style lie, and which it is; the first of each counts."""
    found: dict[str, tuple[int, int, bool]] = {}
    for match in _ATTRIBUTE.finditer(attributes):
        place = match.lastindex
        if place is None or place == 1:  # a name without value
            continue
        name = match[1].lower()
        if name == "style" or (name == "src" and is_image):
            found.setdefault(name, (*match.span(place), name == "style"))
    return sorted(found.values())
