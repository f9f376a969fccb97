"""The content ids that an HTML text refers to, wherever in it (RFC 2392).  No I/O."""

import html
import re
from urllib.parse import unquote

MAX_CIDS = 20_000  # twice what a job can define; each is kept
MAX_HELD_CHARACTERS = 131_072  # of a text that is waited for; no address is so long

_CID = re.compile(r"""cid:([^"'\s()<>]++)""", re.IGNORECASE)
# Some of what ends an address; none stands in a character reference either, so that the text
# may be cut there.
_ENDS = '<>" \n'


class CidReferences:
    """Gathers them from a text that comes in parts, however it is cut.

    Without any end for MAX_HELD_CHARACTERS it is looked through piece by piece.
    """

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._held: list[str] = []  # the text behind the last end
        self._held_characters = 0

    def receive(self, text: str) -> None:
        cut = max(map(text.rfind, _ENDS))
        if cut < 0 and self._held_characters + len(text) < MAX_HELD_CHARACTERS:
            self._held.append(text)
            self._held_characters += len(text)
            return
        cut = cut if cut >= 0 else len(text)
        self._search("".join((*self._held, text[:cut])))
        self._held, self._held_characters = [text[cut:]], len(text) - cut

    def end(self) -> None:
        """The text is over."""
        self._search("".join(self._held))

    def _search(self, text: str) -> None:
        if "&" in text:
            text = html.unescape(text)
        for found in _CID.finditer(text):
            if len(self.found) < MAX_CIDS:
                self.found.add(unquote(found[1]))
